//! The bytes of an input, decompressed.

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read};
use std::path::Path;

use anyhow::Context as _;
use flate2::bufread::GzDecoder;

/// Opens the file at `path`.
///
/// # Errors
/// The file cannot be opened; the error names it.
pub(super) fn open(path: &Path) -> anyhow::Result<File> {
    File::open(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Returns a reader that inflates gzip and zstd, recognised by their first bytes, and passes on
/// everything else.
///
/// Several gzip members or zstd frames are one content, wherever their bounds are. Zeros after a
/// member are passed over, as gzip(1) does, and so are skippable frames, with which pzstd begins.
///
/// # Errors
/// The first bytes cannot be read.
pub(super) fn decompress(mut raw: Box<dyn Read + Send>) -> std::io::Result<Box<dyn Read + Send>> {
    // A pipe may give them one by one.
    let mut head = Vec::new();
    (&mut raw).take(4).read_to_end(&mut head)?;
    let packing = Packing::of(&head);
    // Reads that are larger than its buffer go past it.
    let raw = BufReader::with_capacity(64 << 10, Cursor::new(head).chain(raw));
    Ok(match packing {
        Some(Packing::Gzip) => Box::new(GzipMembers { member: Some(GzDecoder::new(raw)) }),
        Some(Packing::Zstd) => Box::new(zstd::stream::read::Decoder::with_buffer(raw)?),
        None => Box::new(raw),
    })
}

/// The packing of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packing {
    Gzip,
    Zstd,
}

impl Packing {
    /// Returns the packing of a file that begins with `head`.
    fn of(head: &[u8]) -> Option<Packing> {
        match head {
            [0x1f, 0x8b, ..] => Some(Packing::Gzip),
            // A frame, or one of the sixteen kinds of skippable frames.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
                Some(Packing::Zstd)
            }
            _ => None,
        }
    }
}

/// A reader of gzip members, one after the other, with any number of zeros after each.
struct GzipMembers<R> {
    /// The member that is being read; none at the end.
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Read for GzipMembers<R> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        while let Some(member) = &mut self.member {
            let n = member.read(out)?;
            if n > 0 {
                return Ok(n);
            }
            let Some(ended) = self.member.take() else { break };
            let mut raw = ended.into_inner();
            if pass_zeros(&mut raw)? {
                self.member = Some(GzDecoder::new(raw));
            }
        }
        Ok(0)
    }
}

/// Reads zeros. Returns whether something else follows.
fn pass_zeros(raw: &mut impl BufRead) -> std::io::Result<bool> {
    loop {
        let read = match raw.fill_buf() {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        let zeros = read.iter().take_while(|byte| **byte == 0).count();
        if zeros < read.len() || read.is_empty() {
            let more = !read.is_empty();
            raw.consume(zeros);
            return Ok(more);
        }
        raw.consume(zeros);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Slow(Cursor<Vec<u8>>);

    impl Read for Slow {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            let one = out.len().min(1);
            self.0.read(&mut out[..one])
        }
    }

    /// Reads `bytes` both at once and one by one.
    fn text(bytes: &[u8]) -> std::io::Result<String> {
        let read = |raw| {
            let mut text = String::new();
            decompress(raw)?.read_to_string(&mut text).map(|_| text)
        };
        let (whole, slow) = (Cursor::new(bytes.to_vec()), Slow(Cursor::new(bytes.to_vec())));
        let (whole, slow) = (read(Box::new(whole)), read(Box::new(slow)));
        assert_eq!(whole.as_ref().ok(), slow.as_ref().ok());
        whole
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut packer, text.as_bytes()).unwrap();
        packer.finish().unwrap()
    }

    fn zstd(text: &str) -> Vec<u8> {
        zstd::encode_all(text.as_bytes(), 1).unwrap()
    }

    /// Returns a frame that decoders pass over.
    fn skippable(nibble: u8, bytes: &[u8]) -> Vec<u8> {
        let length = u32::try_from(bytes.len()).unwrap().to_le_bytes();
        [&[0x50 | nibble, 0x2a, 0x4d, 0x18][..], &length, bytes].concat()
    }

    #[test]
    fn compression_is_recognised_however_the_bytes_arrive() {
        for (bytes, expected) in [(zstd("{1}\n"), "{1}\n"), (b"{}".to_vec(), "{}"), (vec![], "")] {
            assert_eq!(text(&bytes).unwrap(), expected);
        }
    }

    #[test]
    fn zstd_may_begin_with_a_skippable_frame_and_have_more_of_them() {
        let (one, two) = (zstd("{1}\n{"), zstd("2}\n"));
        for bytes in [
            // As pzstd: before each frame its length.
            [&skippable(0, b"\x10\0\0\0")[..], &one, &skippable(0, b"\x10\0\0\0"), &two].concat(),
            [&one[..], &skippable(15, b""), &skippable(3, &[7; 100_000]), &two].concat(),
            [&skippable(7, &[7; 100_000])[..], &one, &two, &skippable(14, b"seek table")].concat(),
        ] {
            assert_eq!(text(&bytes).unwrap(), "{1}\n{2}\n");
        }
        assert_eq!(text(&skippable(0, b"alone")).unwrap(), "");
        text(&[&one[..], &skippable(0, &[7; 100])[..50]].concat()).unwrap_err();
        text(&[&one[..], b"more"].concat()).unwrap_err();
    }

    #[test]
    fn gzip_members_may_be_joined_anywhere_and_padded_with_zeros() {
        let (one, two) = (gzip("{1}\n{"), gzip("2}\n"));
        for bytes in [
            [&one[..], &two].concat(),
            [&one[..], &two, &[0; 512]].concat(),
            [&one[..], &[0], &gzip(""), &[0; 100_000], &two].concat(),
        ] {
            assert_eq!(text(&bytes).unwrap(), "{1}\n{2}\n");
        }
        text(&[&one[..], &[0; 9], b"more"].concat()).unwrap_err();
        text(&[&one[..], &[0; 9], &two[..two.len() - 3]].concat()).unwrap_err();
    }
}
