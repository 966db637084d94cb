//! The credentials that an endpoint asks for.

/// A kind of credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `Basic`: a user's name and password.
    Basic,
    /// `Bearer` or `ApiKey`: a static token.
    Token,
    /// `Bearer`: a token of our own token endpoint.
    OAuth2,
    /// `Bearer`: a JWT of an issuer.
    Jwt,
}

impl Scheme {
    /// Parses a name of the configuration; returns `None` for `none`.
    ///
    /// # Errors
    /// The end of a sentence whose subject is the name.
    pub fn parse(text: &str) -> Result<Option<Scheme>, String> {
        Ok(Some(match text {
            "none" => return Ok(None),
            "basic" => Scheme::Basic,
            "token" => Scheme::Token,
            "oauth2" => Scheme::OAuth2,
            "jwt" => Scheme::Jwt,
            _ => return Err("is none of basic, token, oauth2, jwt and none".to_owned()),
        }))
    }
}

/// The credentials that an endpoint asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    pub(super) schemes: Vec<Scheme>,
    /// The names that are admitted: those of users, tokens and clients, alone or after `user:`, `token:`
    /// and `client:`, and `issuer#subject` for JWTs. Without a list, all that have credentials.
    pub allow: Option<Vec<String>>,
    /// The scope that tokens of the token endpoint and JWTs must have.
    pub scope: Option<String>,
}

impl Rules {
    /// Returns rules that admit credentials of every kind.
    #[must_use]
    pub fn any() -> Rules {
        Rules::of(vec![Scheme::Basic, Scheme::Token, Scheme::OAuth2, Scheme::Jwt])
    }

    /// Returns rules that ask for no credentials.
    #[must_use]
    pub fn nobody_is_asked() -> Rules {
        Rules::of(Vec::new())
    }

    /// Returns rules that admit credentials of these kinds; without any, no credentials are asked for.
    #[must_use]
    pub fn of(schemes: Vec<Scheme>) -> Rules {
        Rules { schemes, allow: None, scope: None }
    }

    /// Returns whether credentials are asked for.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        !self.schemes.is_empty()
    }

    /// Returns the value of `WWW-Authenticate`.
    #[must_use]
    pub fn challenge(&self) -> &'static str {
        let others = self.schemes.iter().any(|scheme| *scheme != Scheme::Basic);
        match (self.takes(Scheme::Basic), others) {
            (true, true) => {
                r#"Basic realm="sessionlake", charset="UTF-8", Bearer realm="sessionlake""#
            }
            (true, false) => r#"Basic realm="sessionlake", charset="UTF-8""#,
            _ => r#"Bearer realm="sessionlake""#,
        }
    }

    /// Returns whether credentials of this kind are accepted.
    pub(super) fn takes(&self, scheme: Scheme) -> bool {
        self.schemes.contains(&scheme)
    }
}
