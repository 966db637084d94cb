//! Users: the same number at the same location is the same user, with the same attributes.

use super::random::{Random, mix};
use super::session::{Ip, User};
use super::shares::{self, Device, Location, Sort};

/// Returns the user `rank` of a location. Monitors are few, and stand in data centres; kiosks are
/// one kind.
pub(super) fn user(seed: u64, sort: Sort, place: usize, rank: u64) -> User {
    let id = mix(mix(seed) ^ ((place as u64) << 40 | rank << 8 | sort as u64));
    let mut random = Random::new(id);
    let random = &mut random;
    let place: &'static Location = &shares::PLACES[place].1;
    let device: &'static Device = match sort {
        Sort::Web => random.pick(shares::BROWSERS),
        Sort::App => random.pick(shares::PHONES),
        Sort::Kiosk => &shares::KIOSK,
        Sort::Monitor => &shares::MONITOR,
        Sort::Robot => random.pick(shares::ROBOTS),
    };
    let bits = random.bits();
    let ip = match random.below(100) {
        // Addresses of documentation and benchmark networks: they are nobody's.
        0..70 => Ip::V4([198, 18 + (bits & 1) as u8, (bits >> 8) as u8, (bits >> 16) as u8]),
        _ => {
            let group = |shift: u32| (bits >> shift) as u16;
            Ip::V6([0x2001, 0xdb8, group(0), group(16), group(32), group(48), 1, group(8)])
        }
    };
    let person = matches!(sort, Sort::Web | Sort::App);
    let named = person && random.below(100) < 35;
    User {
        id,
        place,
        device,
        provider: random.word(place.providers),
        carrier: random.word(place.carriers),
        wifi: random.below(100) < 62,
        name: named.then(|| (*random.any(shares::NAMES), random.below(100_000))),
        plan: random.word(shares::PLANS),
        ip,
    }
}
