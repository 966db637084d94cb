//! Peers and their networks, and limits of their rate and of their concurrency.
//!
//! A peer is an IPv4 address or an IPv6 /64, since a sender that has one IPv6 address has the others
//! of its network as well. Who has many peers has them in few networks: what is scarce is shared
//! among networks first ([`FairLimit`]). Memory is bounded, however many addresses are used.

mod fair_limit;
mod limits;
mod loopback;
mod peer;
mod token_buckets;

pub use fair_limit::{FairLimit, FairPermit};
pub use limits::{PeerLimit, PeerPermit, PeerShares};
pub(crate) use loopback::is_loopback_host;
pub use peer::{Network, Peer};
pub use token_buckets::TokenBuckets;
