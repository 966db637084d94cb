//! What `top`, `tap` and `admin` have in common: the listener of operators, and credentials of one of them.
//!
//! Credentials go to this machine, or by TLS; an address that holds some is refused, since addresses are shown.

use std::path::PathBuf;

use anyhow::{Context as _, anyhow, ensure};
use reqwest::{Certificate, Client, ClientBuilder, Method, RequestBuilder, Url};

use super::Failure;
use crate::config::Environment;
use crate::peers::is_loopback_host;

/// The variable with an operator's name and password.
const USER: &str = "SESSIONLAKE_OPERATOR_USER";
/// The variable with an operator's token.
const TOKEN: &str = "SESSIONLAKE_OPERATOR_TOKEN";

/// The server that is asked.
#[derive(Debug, clap::Args)]
pub(super) struct Target {
    /// Address of the listener of operators (status_listen of the server).
    #[arg(value_name = "URL", default_value = "http://127.0.0.1:3001")]
    url: String,
    /// Name and password of an operator. Other users of the machine see flags: SESSIONLAKE_OPERATOR_USER, or
    /// the file that SESSIONLAKE_OPERATOR_USER_FILE names, has them too.
    #[arg(long, value_name = "NAME:PASSWORD", conflicts_with = "token")]
    user: Option<String>,
    /// Token of an operator, as SESSIONLAKE_OPERATOR_TOKEN, or the file of SESSIONLAKE_OPERATOR_TOKEN_FILE.
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// Trust the certificates in this PEM file instead of the system's.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

/// The listener of operators of a server.
pub(super) struct Listener {
    base: Url,
    user: Option<(String, String)>,
    token: Option<String>,
    roots: Option<Vec<Certificate>>,
}

impl Listener {
    /// Reads what `target` names. Asks nothing yet.
    ///
    /// # Errors
    /// The address, the credentials or the certificates cannot be used.
    pub(super) fn of(target: &Target, environment: &Environment) -> Result<Listener, Failure> {
        Listener::read(target, environment).map_err(Failure::Usage)
    }

    fn read(target: &Target, environment: &Environment) -> anyhow::Result<Listener> {
        let base = base(&target.url)?;
        // A flag outranks every variable.
        let (user, token) = match (&target.user, &target.token) {
            (None, None) => match environment.secret(TOKEN)? {
                None => (environment.secret(USER)?, None),
                token => (None, token),
            },
            (user, token) => (user.clone(), token.clone()),
        };
        let user = user.as_deref().map(pair).transpose()?;
        if base.scheme() == "http" && (user.is_some() || token.is_some()) {
            ensure!(
                is_loopback_host(base.host_str().unwrap_or_default()),
                "credentials are not sent to another machine without TLS: use https://"
            );
        }
        let roots = match &target.ca {
            Some(path) => {
                let pem = std::fs::read(path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                let roots = Certificate::from_pem_bundle(&pem)
                    .with_context(|| format!("{} is no PEM file", path.display()))?;
                ensure!(!roots.is_empty(), "{} has no certificate", path.display());
                Some(roots)
            }
            None => None,
        };
        Ok(Listener { base, user, token, roots })
    }

    /// Returns the beginning of a client of it, which reaches it directly and follows no redirection.
    pub(super) fn client(&self) -> ClientBuilder {
        let builder = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("sessionlake/", env!("CARGO_PKG_VERSION")));
        match &self.roots {
            Some(roots) => builder.tls_certs_only(roots.clone()),
            None => builder,
        }
    }

    /// Returns a request for `path`, which is relative, with the credentials.
    pub(super) fn request(
        &self,
        client: &Client,
        method: Method,
        path: &str,
    ) -> anyhow::Result<RequestBuilder> {
        let request = client.request(method, self.base.join(path)?);
        Ok(match (&self.token, &self.user) {
            (Some(token), _) => request.bearer_auth(token),
            (None, Some((name, password))) => request.basic_auth(name, Some(password)),
            (None, None) => request,
        })
    }

    /// Returns the address, which ends in `/` and has no credentials.
    pub(super) fn base(&self) -> &Url {
        &self.base
    }

    /// Returns the reason that there was no answer, as a sentence.
    pub(super) fn no_answer(&self) -> String {
        format!(
            "no answer from {}: is the server running, with status_listen at that address?",
            self.base
        )
    }
}

/// Reads an address, without its scheme as well.
fn base(url: &str) -> anyhow::Result<Url> {
    let text = match url.contains("://") {
        true => url.to_owned(),
        false => format!("http://{url}"),
    };
    let mut base: Url =
        text.parse().map_err(|error| anyhow!("the URL of the server is wrong: {error}"))?;
    ensure!(
        matches!(base.scheme(), "http" | "https") && base.host().is_some(),
        "the URL of the server begins with http:// or https://"
    );
    ensure!(
        base.username().is_empty() && base.password().is_none(),
        "give credentials with --user or --token, not in the URL"
    );
    if !base.path().ends_with('/') {
        base.set_path(&format!("{}/", base.path()));
    }
    Ok(base)
}

/// Returns the two parts of `NAME:PASSWORD`.
///
/// # Errors
/// There is no colon. What was given may be the password, and is not shown.
fn pair(user: &str) -> anyhow::Result<(String, String)> {
    let pair = user.split_once(':').ok_or_else(|| {
        anyhow!(
            "--user (or {USER}, or the file of {USER}_FILE) is NAME:PASSWORD, and there is no colon in it"
        )
    });
    pair.map(|(name, password)| (name.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str, user: Option<&str>, token: Option<&str>) -> Target {
        let (user, token) = (user.map(str::to_owned), token.map(str::to_owned));
        Target { url: url.to_owned(), user, token, ca: None }
    }

    fn read(url: &str, token: Option<&str>) -> anyhow::Result<String> {
        let environment = Environment::default();
        let read = Listener::read(&target(url, None, token), &environment);
        read.map(|listener| listener.base.to_string())
    }

    #[test]
    fn an_address_is_a_url() {
        assert_eq!(read("127.0.0.1:3001", None).unwrap(), "http://127.0.0.1:3001/");
        assert_eq!(read("https://a.example/x", Some("t")).unwrap(), "https://a.example/x/");
        assert!(read("http://[::1]:3001", Some("t")).is_ok());
        assert!(read("http://localhost:3001", Some("t")).is_ok());
        for wrong in ["http://a.example", "ftp://127.0.0.1", "http://u:p@127.0.0.1", "http://"] {
            let error = read(wrong, Some("t")).unwrap_err().to_string();
            assert!(!error.contains("u:p"), "{error}");
        }
    }

    #[test]
    fn flags_outrank_variables_and_files_and_what_is_empty_is_not_given() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        std::fs::write(&file, "from-a-file\n").unwrap();
        let of_file = (format!("{TOKEN}_FILE"), file.display().to_string());
        let url = "http://127.0.0.1:3001";
        let read = |user, variables: &[(String, String)]| {
            let environment = Environment::new(variables.iter().cloned());
            Listener::read(&target(url, user, None), &environment)
        };
        let listener = read(None, std::slice::from_ref(&of_file)).unwrap();
        assert_eq!((listener.user, listener.token.as_deref()), (None, Some("from-a-file")));
        let listener = read(Some("ada:a:b"), &[of_file]).unwrap();
        assert_eq!((listener.user, listener.token), (Some(("ada".into(), "a:b".into())), None));
        let empty = [(TOKEN.to_owned(), String::new()), (USER.to_owned(), "ada:c".to_owned())];
        let listener = read(None, &empty).unwrap();
        assert_eq!((listener.user, listener.token), (Some(("ada".into(), "c".into())), None));
        // It may be the password.
        let error = read(Some("hunter2"), &[]).err().unwrap().to_string();
        assert!(error.contains("NAME:PASSWORD") && !error.contains("hunter2"), "{error}");
    }
}
