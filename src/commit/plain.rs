//! Plain files: a roll is committed by its receipt, which is created last and never replaced.

use super::{Outcome, RollId};
use crate::lake::{Lake, RECEIPT_VERSION, Receipt, StoreError, names};
use crate::record::{Roll, Seq, SeqRange};

pub(super) async fn look_up(lake: &Lake, roll: RollId<'_>) -> Option<Outcome> {
    let name = names::receipt(roll.node, roll.roll);
    let bytes = match lake.get(&name).await {
        Ok(found) => found?,
        Err(error) => return Some(Outcome::Away(error)),
    };
    let outcome = judge(&name, &bytes, roll);
    if matches!(outcome, Outcome::Already(_))
        // The attempt that created it may have died before its directory was synced.
        && let Err(error) = lake.make_durable(&name).await
    {
        return Some(Outcome::Away(error));
    }
    Some(outcome)
}

pub(super) async fn commit(lake: &Lake, receipt: &Receipt) -> Outcome {
    let mut text = match serde_json::to_vec_pretty(receipt) {
        Ok(text) => text,
        Err(error) => return Outcome::Refused(format!("its receipt cannot be written: {error}")),
    };
    text.push(b'\n');
    let range = SeqRange { first: Seq(receipt.first_seq), last: Seq(receipt.last_seq) };
    let roll = RollId { node: &receipt.node, roll: Roll(receipt.roll), range, bodies: None };
    let name = names::receipt(roll.node, roll.roll);
    match lake.create_bytes(&name, text).await {
        Ok(true) => Outcome::Committed,
        Ok(false) => match look_up(lake, roll).await {
            Some(Outcome::Already(found))
                if receipt.bodies.is_some()
                    && found.bodies.is_some()
                    && found.bodies != receipt.bodies =>
            {
                Outcome::Conflict(conflict_of_bodies(&name))
            }
            outcome => outcome.unwrap_or_else(|| Outcome::Away(vanished(&name))),
        },
        Err(error) => Outcome::Away(error),
    }
}

/// Judges the receipt that stands under the name of the roll's.
fn judge(name: &str, bytes: &[u8], roll: RollId<'_>) -> Outcome {
    let receipt: Receipt = match serde_json::from_slice(bytes) {
        Ok(receipt) => receipt,
        Err(error) => {
            return Outcome::Refused(format!(
                "{name} stands in the lake and is no receipt that this version reads ({error}); it \
                 is not replaced: look where it comes from, and move it away"
            ));
        }
    };
    if receipt.version > RECEIPT_VERSION {
        return Outcome::Refused(format!(
            "{name} in the lake was written by a newer version of this program; use that version"
        ));
    }
    let (first, last) = (roll.range.first, roll.range.last);
    let theirs = (&*receipt.node, receipt.roll, receipt.first_seq, receipt.last_seq);
    if theirs == (roll.node, roll.roll.0, first.0, last.0) {
        return match other_bodies(roll, &receipt) {
            Some(why) => Outcome::Conflict(why),
            None => Outcome::Already(Box::new(receipt)),
        };
    }
    Outcome::Conflict(conflict(roll, &receipt))
}

/// Says that the receipt of a roll is of another state directory.
pub(super) fn conflict(roll: RollId<'_>, receipt: &Receipt) -> String {
    let (first, last) = (roll.range.first, roll.range.last);
    format!(
        "{} in the lake is the receipt of bodies {} to {}, and here this roll has bodies {first} to \
         {last}, of another attempt: the state directory is an older copy, the lake is another one, \
         or another process has taken the roll; nothing more of this roll is put. Start with the \
         newest state directory of this node, or with an empty one, which is a new node",
        names::receipt(roll.node, roll.roll),
        receipt.first_seq,
        receipt.last_seq
    )
}

/// Says that a receipt is of other bodies with the numbers of the roll's, if it is. A digest that is
/// not known says nothing.
pub(super) fn other_bodies(roll: RollId<'_>, receipt: &Receipt) -> Option<String> {
    let (theirs, ours) = (receipt.bodies.as_deref()?, roll.bodies?.to_string());
    (theirs != ours).then(|| conflict_of_bodies(&names::receipt(roll.node, roll.roll)))
}

fn conflict_of_bodies(name: &str) -> String {
    format!(
        "{name} in the lake is the receipt of other bodies than those that this state directory has \
         under the same numbers: the state directory is an older copy or a clone of another one; \
         nothing more of this roll is put. Start with the newest state directory of this node, or with \
         an empty one, which is a new node"
    )
}

fn vanished(name: &str) -> StoreError {
    StoreError::Io {
        path: name.into(),
        source: std::io::Error::other("the store says that it exists, and does not have it"),
    }
}
