//! Authentication: users, static tokens, OAuth 2.0 clients and JWT issuers, from one file.
//!
//! # Promises
//! - *No hint.* Whichever part is wrong, the answer is the same, and takes about as long: an unknown
//!   user costs a hash as a known one does.
//! - *No secret leaks.* Passwords, tokens and keys are never logged, shown or part of an error; of a
//!   verified credential a keyed digest is kept in memory.
//! - *No denial by hashing.* Password hashes are slow on purpose, so they are computed on blocking
//!   threads, few at a time, one of a peer, in memory that is reused; peers that sent a right password
//!   before come first, and all others together have so many guesses a second (`turns`); a verified
//!   credential is remembered for [`REMEMBER`] since its last use; and a peer that failed [`FAILURES`]
//!   times waits, while clients that are remembered, or have a good token, go on. Senders behind one proxy are one peer: one of them that
//!   keeps failing makes those wait that have not been verified yet.
//! - *Reloaded.* The file and the files it names are read again when they change; a file that
//!   cannot be used leaves what was before, and an error in the log.
//!
//! ```text
//!  Authorization ─┬─ Basic  ─▶ user: argon2 hash, or a plain secret from a file or variable
//!                 ├─ Bearer ─┬▶ static token: SHA-256
//!                 │          ├▶ our own token (POST /oauth2/token): HMAC
//!                 │          └▶ JWT: an issuer's key set (RS256, ES256, EdDSA)
//!                 └─ ApiKey ─▶ static token, with its name before it
//! ```

mod authenticator;
mod error;
mod file;
mod hasher;
mod header;
mod jwt;
mod key_set;
mod oauth2;
pub mod password;
mod rules;
mod secret;
#[cfg(test)]
mod tests;
mod turns;

pub use authenticator::{Auth, FAILURES, ReadCredentials};
pub use error::{CredentialsError, Denied};
pub use oauth2::{Granted, NotGranted};
pub use password::REMEMBER;
pub use rules::{Rules, Scheme};
pub(crate) use secret::token_hash;
