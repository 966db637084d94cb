//! TLS: the server's certificate and key from files, and their renewal.
//!
//! - TLS 1.2 and 1.3, by aws-lc-rs; ALPN `h2` and `http/1.1`.
//! - The files are read every second; once they have changed *and* can be used, new connections get
//!   the new configuration. Open connections keep theirs. While the files cannot be used (a
//!   certificate was replaced before its key), the old configuration stays, and the log says why.
//! - With client authorities, the handshake fails for a client without a certificate of one of them.

mod validity;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use parking_lot::RwLock;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use crate::metrics;
use crate::record::Micros;
use crate::secret_path::{self, Kept};

/// The time between two reads of the files.
const READ_EVERY: Duration = Duration::from_secs(1);

/// The files of TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate and its chain (PEM).
    pub cert: PathBuf,
    /// The private key (PEM).
    pub key: PathBuf,
    /// The authorities of clients (PEM). With them, every client must have a certificate.
    pub client_ca: Option<PathBuf>,
}

/// The reason for which TLS cannot be set up from its files. It holds nothing of a key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The content of a file cannot be used.
    #[error("{}: {what}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// The mistake.
        what: String,
    },
}

/// A configuration, and the files that it was made from.
struct Loaded {
    config: Arc<ServerConfig>,
    /// The digest of all files.
    digest: Vec<u8>,
    /// The time at which the certificate expires.
    expires: Option<Micros>,
}

impl Loaded {
    fn show_expiry(&self) {
        let expires = self.expires.map_or(0.0, metrics::timestamp);
        ::metrics::gauge!(metrics::TLS_CERTIFICATE_EXPIRY).set(expires);
    }
}

/// A configuration that was read and is not in use.
pub struct ReadTls(Loaded);

/// The TLS configuration, renewed when its files change.
pub struct Tls {
    files: TlsFiles,
    // Read once a connection, written when the files have changed.
    current: RwLock<Loaded>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads `files`.
    ///
    /// # Errors
    /// [`TlsError`]: a file cannot be read or used.
    pub fn open(files: &TlsFiles) -> Result<Arc<Tls>, TlsError> {
        let current = load(files)?;
        current.show_expiry();
        let current = RwLock::new(current);
        Ok(Arc::new(Tls { files: files.clone(), current }))
    }

    /// Returns the acceptor of the next connection.
    #[must_use]
    pub fn acceptor(&self) -> TlsAcceptor {
        let current = self.current.read();
        TlsAcceptor::from(Arc::clone(&current.config))
    }

    /// Reads the files again. Blocks.
    ///
    /// # Errors
    /// As for [`Tls::open`].
    pub fn read(&self) -> Result<ReadTls, TlsError> {
        load(&self.files).map(ReadTls)
    }

    /// Puts a configuration that was read to use: new connections get it. Returns whether it is not the
    /// one in use.
    pub fn put(&self, ReadTls(new): ReadTls) -> bool {
        let mut current = self.current.write();
        let is_other = new.digest != current.digest;
        if is_other {
            new.show_expiry();
            *current = new;
        }
        is_other
    }

    /// Renews the configuration when the files change, until the future is dropped.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the configuration as it was last renewed.
    pub async fn keep_fresh(&self) {
        let mut failed = None;
        loop {
            tokio::time::sleep(READ_EVERY).await;
            let files = self.files.clone();
            let Ok(read) = tokio::task::spawn_blocking(move || load(&files)).await else {
                continue;
            };
            match read {
                Ok(new) => {
                    failed = None;
                    if self.put(ReadTls(new)) {
                        tracing::info!("the certificate was read again");
                    }
                }
                Err(error) => {
                    let error = error.to_string();
                    if failed.as_ref() != Some(&error) {
                        tracing::error!("the certificate stays as it was: {error}");
                        failed = Some(error);
                    }
                }
            }
        }
    }
}

/// Reads a file, and adds it to `digest`.
fn read(path: &Path, kept: Kept, digest: &mut digest::Context) -> Result<Vec<u8>, TlsError> {
    let bytes = secret_path::read(path, kept)
        .map_err(|source| TlsError::Read { path: path.to_owned(), source })?;
    digest.update(&(bytes.len() as u64).to_le_bytes());
    digest.update(&bytes);
    Ok(bytes)
}

/// Reads and checks all files.
fn load(files: &TlsFiles) -> Result<Loaded, TlsError> {
    let wrong = |path: &Path, what: String| TlsError::Wrong { path: path.to_owned(), what };
    let mut digest = digest::Context::new(&digest::SHA256);
    let certificates = |path: &Path, pem: &[u8]| {
        let list: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        match list {
            Ok(list) if !list.is_empty() => Ok(list),
            _ => Err(wrong(path, "it holds no certificate in PEM".to_owned())),
        }
    };
    let chain = certificates(&files.cert, &read(&files.cert, Kept::Unchanged, &mut digest)?)?;
    let key = read(&files.key, Kept::Secret, &mut digest)?;
    let key = PrivateKeyDer::from_pem_slice(&key)
        .map_err(|_| wrong(&files.key, "it holds no private key in PEM".to_owned()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(&files.cert, error.to_string()))?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path, &read(path, Kept::Unchanged, &mut digest)?)? {
                roots.add(certificate).map_err(|error| wrong(path, error.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|error| wrong(path, error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let expires = chain.first().and_then(|certificate| validity::expires(certificate));
    let mut config = builder.with_single_cert(chain, key).map_err(|error| {
        wrong(&files.cert, format!("it does not go with {}: {error}", files.key.display()))
    })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Loaded { config: Arc::new(config), digest: digest.finish().as_ref().to_vec(), expires })
}

/// Creates a self-signed certificate for `names`, and returns it and its key as PEM. For trying TLS
/// out.
///
/// # Errors
/// A name that no certificate can have.
pub fn self_signed(names: Vec<String>) -> anyhow::Result<(String, String)> {
    let certified = rcgen::generate_simple_self_signed(names)?;
    Ok((certified.cert.pem(), certified.signing_key.serialize_pem()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(dir: &Path, names: &[&str]) -> TlsFiles {
        let names = names.iter().map(ToString::to_string).collect();
        let (cert, key) = self_signed(names).unwrap();
        let files =
            TlsFiles { cert: dir.join("cert.pem"), key: dir.join("key.pem"), client_ca: None };
        std::fs::write(&files.cert, cert).unwrap();
        std::fs::write(&files.key, key).unwrap();
        files
    }

    #[test]
    fn what_is_made_can_be_used_and_what_does_not_go_together_cannot() {
        let dir = tempfile::tempdir().unwrap();
        let files_ = files(dir.path(), &["localhost", "127.0.0.1"]);
        let one = load(&files_).unwrap();
        assert_eq!(one.config.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
        assert_eq!(load(&files_).unwrap().digest, one.digest);

        let (_, other_key) = self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(&files_.key, &other_key).unwrap();
        let error = load(&files_).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("does not go with"), "{error}");
        assert!(!error.contains(&other_key[40..60]), "{error}");

        std::fs::write(&files_.cert, "nothing").unwrap();
        let error = load(&files_).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("holds no certificate"), "{error}");
    }
}
