//! Seals of the rolls of imports, and how far an import is in by its seals and receipts.

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};

use super::extent::{Extent, ExtentLog, Progress, SealedRoll};
use super::manifest::{ImportManifest, Manifests};
use crate::dedup::LeftOut;
use crate::json::number;
use crate::lake::names;
use crate::publish::Seal;
use crate::publish::publisher::RollLog;
use crate::publish::sealed_settings::SealedSettings;
use crate::record::{Roll, Seq, SeqRange};

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SealRecord {
    /// First chunk of the roll.
    #[serde(deserialize_with = "number")]
    first: u64,
    /// Last chunk of the roll.
    #[serde(deserialize_with = "number")]
    last: u64,
    /// Token of the process that sealed it.
    #[serde(default)]
    by: String,
    /// Its chunks by file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    files: Vec<Extent>,
    /// Rows that it leaves out, as [`LeftOut`] writes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    left_out: Option<String>,
    /// No roll: the import was given up here.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    given_up: bool,
}

/// The seal of a roll, as it is in the lake.
pub(super) enum Sealed {
    Roll(SealedRoll),
    /// The import was given up before this roll.
    GivenUp,
}

impl Manifests {
    /// Seals a roll for this process alone.
    ///
    /// # Errors
    /// The lake; another process has sealed the roll, or the import was given up.
    fn seal(&self, node: &str, seal: &Seal, files: Vec<Extent>) -> anyhow::Result<()> {
        let SeqRange { first, last } = seal.range;
        let by = self.token.clone();
        let left_out = SealedSettings::left_out_of(&seal.settings)?;
        let (first, last) = (first.0, last.0);
        let ours = SealRecord { first, last, by, files, left_out, given_up: false };
        let name = names::import_seal(node, seal.roll);
        let bytes = serde_json::to_vec(&ours)?;
        if self.runtime.block_on(self.lake.create_bytes(&name, bytes))? {
            return Ok(());
        }
        // The answer to an earlier attempt may have been lost.
        let theirs: Option<SealRecord> = self.read(&name)?;
        if theirs.as_ref().is_some_and(|theirs| theirs.given_up) {
            bail!("the import {node} was given up meanwhile");
        }
        ensure!(
            theirs.is_some_and(|theirs| theirs == ours),
            "another process goes on with the same import, on another machine perhaps: it has \
             sealed roll {} of {node}",
            seal.roll
        );
        Ok(())
    }

    /// Gives up the import `node` from the first roll on, `from` or later, that is not sealed.
    ///
    /// # Errors
    /// The lake.
    pub(super) fn close(&self, node: &str, from: Roll) -> anyhow::Result<()> {
        let by = self.token.clone();
        let (files, left_out) = (Vec::new(), None);
        let close = SealRecord { first: 1, last: 0, by, files, left_out, given_up: true };
        let bytes = serde_json::to_vec(&close)?;
        let mut roll = from;
        loop {
            let name = names::import_seal(node, roll);
            if self.runtime.block_on(self.lake.create_bytes(&name, bytes.clone()))? {
                return Ok(());
            }
            let there: Option<SealRecord> = self.read(&name)?;
            if there.is_some_and(|there| there.given_up) {
                return Ok(());
            }
            roll = roll.next();
        }
    }

    /// Reads the seal of a roll, or `None` if it is not sealed.
    ///
    /// # Errors
    /// The lake; a seal that cannot be read.
    pub(super) fn sealed(&self, node: &str, roll: Roll) -> anyhow::Result<Option<Sealed>> {
        let name = names::import_seal(node, roll);
        let Some(seal) = self.read::<SealRecord>(&name)? else { return Ok(None) };
        if seal.given_up {
            return Ok(Some(Sealed::GivenUp));
        }
        ensure!(
            (1..=seal.last).contains(&seal.first),
            "{name} in the lake is no seal: chunks {} to {} are none",
            seal.first,
            seal.last
        );
        let range = SeqRange { first: Seq(seal.first), last: Seq(seal.last) };
        let left_out = seal.left_out.as_deref().map(LeftOut::from_text).transpose();
        let left_out = left_out.with_context(|| format!("{name} in the lake cannot be read"))?;
        let left_out = left_out.unwrap_or_default();
        Ok(Some(Sealed::Roll(SealedRoll { range, extents: seal.files, left_out })))
    }

    /// Reads how far the import `node` is in.
    ///
    /// # Errors
    /// The lake; a receipt or seal that cannot be read, or is missing.
    pub(super) fn progress(
        &self,
        node: &str,
        manifest: &ImportManifest,
    ) -> anyhow::Result<Progress> {
        let mut progress = Progress::none(manifest.files.len());
        for receipt in self.receipts(node)? {
            let roll = Roll(receipt.roll);
            let range = SeqRange { first: Seq(receipt.first_seq), last: Seq(receipt.last_seq) };
            let sealed = match manifest.has_extents() {
                false => Some(Sealed::Roll(SealedRoll::new(range, Vec::new()))),
                true => self.sealed(node, roll)?,
            };
            match sealed {
                Some(Sealed::Roll(sealed)) if sealed.range == range => progress.landed(&sealed),
                _ => bail!(
                    "{} in the lake is not the seal of roll {roll}, which has a receipt; was \
                     something removed from {}?",
                    names::import_seal(node, roll),
                    names::IMPORTS
                ),
            }
        }
        match self.sealed(node, progress.next_roll)? {
            None => {}
            Some(Sealed::GivenUp) => progress.closed = true,
            Some(Sealed::Roll(sealed)) => {
                progress.sealed = Some(sealed);
                let after = self.sealed(node, progress.next_roll.next())?;
                progress.closed = matches!(after, Some(Sealed::GivenUp));
            }
        }
        Ok(progress)
    }

    fn read<T: for<'a> Deserialize<'a>>(&self, name: &str) -> anyhow::Result<Option<T>> {
        let Some(bytes) = self.runtime.block_on(self.lake.get(name))? else { return Ok(None) };
        let read = serde_json::from_slice(&bytes);
        Ok(Some(read.with_context(|| format!("{name} in the lake cannot be read"))?))
    }
}

/// The roll log of an import: seals are in the lake, and the receipt of a roll is its commit.
pub(super) struct LakeRollLog<'a> {
    pub(super) manifests: &'a Manifests,
    pub(super) node: &'a str,
    /// The chunks that were handed out, if seals are to name files.
    pub(super) extents: Option<ExtentLog>,
}

impl RollLog for LakeRollLog<'_> {
    fn seal(&mut self, seal: &Seal) -> anyhow::Result<()> {
        let files = self.extents.as_ref().map_or_else(Vec::new, |log| log.of(seal.range));
        self.manifests.seal(self.node, seal, files)
    }

    fn committed(&mut self, _roll: Roll) -> anyhow::Result<()> {
        Ok(())
    }
}
