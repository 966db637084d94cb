//! The codec of bodies: compression, then encryption, and back.
//!
//! A body is compressed before it is encrypted, since ciphertext does not become smaller. Which of
//! the two was done stands in the flags of its frame. The retry key is of the body as it came, so
//! that senders see nothing of either.

pub(crate) mod compression;
pub(crate) mod encryption;

use bytes::Bytes;

use super::frame::{BodyFlags, BodyHead};
use encryption::{BodyCipher, is_sealed_by_format_2};

/// The first format whose frames say by a flag that their body is encrypted.
const FORMAT_OF_FLAG: u32 = 3;

/// The encoding that new bodies get.
#[derive(Clone, Copy)]
pub(crate) struct Encoding<'a> {
    /// Compress the body if that makes it smaller.
    pub(crate) compress: bool,
    /// Encrypt it with this.
    pub(crate) cipher: Option<&'a BodyCipher>,
}

/// A body as its frame holds it.
pub(crate) struct EncodedBody<'a> {
    /// The format of its segment.
    pub(crate) format: u32,
    pub(crate) flags: BodyFlags,
    /// The bytes of its head, which are authenticated with an encrypted body.
    pub(crate) head_bytes: &'a [u8],
    pub(crate) head: &'a BodyHead<'a>,
    pub(crate) body: Bytes,
}

/// The reason why a body whose checksum is right cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DecodeError {
    /// It is encrypted, and there is no key.
    NoKey,
    /// It is encrypted, and does not open with the key.
    WrongKey,
    /// It is compressed, and does not decompress to the length that its head gives.
    Decompress,
}

impl EncodedBody<'_> {
    /// Decodes the body to the bytes that came. A body that is neither compressed nor encrypted is
    /// returned without a copy.
    pub(crate) fn decode(self, cipher: Option<&BodyCipher>) -> Result<Bytes, DecodeError> {
        let EncodedBody { format, flags, head_bytes, head, mut body } = self;
        if flags.is_encrypted {
            let cipher = cipher.ok_or(DecodeError::NoKey)?;
            body = cipher.decrypt(flags, head_bytes, &body).ok_or(DecodeError::WrongKey)?;
        } else if is_encrypted(format, flags, &body) {
            let cipher = cipher.ok_or(DecodeError::NoKey)?;
            body = cipher.open_format_2(&body).ok_or(DecodeError::WrongKey)?;
        }
        match head.inflated_bytes {
            Some(inflated_bytes) => {
                compression::decompress(&body, inflated_bytes).ok_or(DecodeError::Decompress)
            }
            None => Ok(body),
        }
    }
}

/// Tells whether a body that begins with `prefix` is encrypted. Frames of formats 1 and 2 have no
/// flag for it: there, the receiver encrypted bodies on their way to the journal, and took none
/// that began like an encrypted one.
pub(crate) fn is_encrypted(format: u32, flags: BodyFlags, prefix: &[u8]) -> bool {
    flags.is_encrypted || (format < FORMAT_OF_FLAG && is_sealed_by_format_2(prefix))
}
