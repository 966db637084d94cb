//! Credentials that are admitted, those that are not, and the cost of attempts.

use std::net::{IpAddr, Ipv4Addr};

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::authenticator::CHECK_EVERY;
use super::*;

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

struct CredentialsDir {
    dir: tempfile::TempDir,
}

impl CredentialsDir {
    fn new() -> CredentialsDir {
        CredentialsDir { dir: tempfile::tempdir().unwrap() }
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.dir.path().join(name), text).unwrap();
    }

    fn open(&self, text: &str) -> Result<Arc<Auth>, CredentialsError> {
        self.write("credentials.toml", text);
        Auth::open(&self.dir.path().join("credentials.toml"), &self.dir.path().join("state"))
    }
}

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

async fn ask(auth: &Auth, rules: &Rules, header: &str) -> Result<String, Denied> {
    auth.check(rules, Some(header.as_bytes()), PEER).await.map(|name| name.to_string())
}

fn user(name: &str, password: &str) -> String {
    format!(
        "[[user]]\nname = \"{name}\"\npassword_hash = \"{}\"\n",
        password::hash(password).unwrap()
    )
}

#[tokio::test]
async fn users_get_in_with_their_password_and_nobody_else_does() {
    let dir = CredentialsDir::new();
    dir.write("secret", "from a file\n");
    let auth = dir
        .open(
            &(user("ann", "pass:word") + "[[user]]\nname = \"bob\"\npassword_file = \"secret\"\n"),
        )
        .unwrap();
    let any = Rules::any();
    assert_eq!(ask(&auth, &any, &basic("ann", "pass:word")).await, Ok("ann".into()));
    assert_eq!(ask(&auth, &any, &basic("bob", "from a file")).await, Ok("bob".into()));
    for wrong in [
        basic("ann", "password"),
        basic("bob", "pass:word"),
        basic("eve", "pass:word"),
        basic("", ""),
        "Basic !!!".to_owned(),
        "Basic".to_owned(),
        "Digest x".to_owned(),
    ] {
        assert_eq!(ask(&auth, &any, &wrong).await, Err(Denied::Unauthorized), "{wrong}");
    }
    assert_eq!(auth.check(&any, None, PEER).await, Err(Denied::Unauthorized));
    let rules = Rules { allow: Some(vec!["bob".into()]), ..Rules::any() };
    assert!(ask(&auth, &rules, &basic("ann", "pass:word")).await.is_err());
    assert!(ask(&auth, &rules, &basic("bob", "from a file")).await.is_ok());
    let rules = Rules::of(vec![Scheme::Token]);
    assert!(ask(&auth, &rules, &basic("bob", "from a file")).await.is_err());
}

#[tokio::test]
async fn who_fails_too_often_waits_and_who_is_remembered_does_not() {
    let dir = CredentialsDir::new();
    let auth = dir.open(&user("ann", "right")).unwrap();
    let any = Rules::any();
    assert!(ask(&auth, &any, &basic("ann", "right")).await.is_ok());
    let mut answers = Vec::new();
    for number in 0..15 {
        answers.push(ask(&auth, &any, &basic("ann", &number.to_string())).await.unwrap_err());
    }
    assert_eq!(answers[0], Denied::Unauthorized);
    assert!(matches!(answers[14], Denied::TooMany(_)), "{answers:?}");
    assert!(ask(&auth, &any, &basic("ann", "right")).await.is_ok(), "remembered");
    let other = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 8));
    let wrong = basic("ann", "x");
    let answer = auth.check(&any, Some(wrong.as_bytes()), other).await;
    assert_eq!(answer, Err(Denied::Unauthorized), "other peers are not held up");
}

#[tokio::test]
async fn tokens_are_taken_as_bearer_and_as_api_key() {
    let dir = CredentialsDir::new();
    let hash = token_hash("sesame");
    let auth = dir.open(&format!("[[token]]\nname = \"t\"\ntoken_hash = \"{hash}\"\n")).unwrap();
    let any = Rules::any();
    assert_eq!(ask(&auth, &any, "Bearer sesame").await, Ok("t".into()));
    assert_eq!(ask(&auth, &any, "bearer  sesame ").await, Ok("t".into()));
    let key = |pair: &str| format!("ApiKey {}", STANDARD.encode(pair));
    assert_eq!(ask(&auth, &any, &key("t:sesame")).await, Ok("t".into()));
    for wrong in ["Bearer sesam", "Bearer ", "Bearer t", &hash, &key("u:sesame"), &key("t:x")] {
        assert!(ask(&auth, &any, wrong).await.is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn our_own_tokens_are_good_until_their_client_changes() {
    let dir = CredentialsDir::new();
    let client = |secret: &str| {
        let hash = password::hash(secret).unwrap();
        format!(
            "[[client]]\nid = \"exp\"\nsecret_hash = \"{hash}\"\nscopes = [\"write\", \"read\"]\n"
        )
    };
    let text = client("s3cret");
    let auth = dir.open(&text).unwrap();
    let form = b"grant_type=client_credentials&client_id=exp&client_secret=s3cret&scope=write";
    let granted = auth.grant(None, form, PEER).await.unwrap();
    assert_eq!((granted.expires_in, &*granted.scope), (300, "write"));
    let bearer = format!("Bearer {}", granted.access_token);
    let any = Rules::any();
    assert_eq!(ask(&auth, &any, &bearer).await, Ok("exp".into()));
    let rules = |scope: &str| Rules { scope: Some(scope.into()), ..Rules::any() };
    assert!(ask(&auth, &rules("write"), &bearer).await.is_ok());
    assert!(ask(&auth, &rules("read"), &bearer).await.is_err());
    let mut forged = bearer.clone().into_bytes();
    for at in [12, bearer.len() - 3] {
        forged[at] ^= 1;
        assert!(ask(&auth, &any, &String::from_utf8_lossy(&forged)).await.is_err());
    }

    let header = basic("exp", "s3cret");
    let by_header = auth.grant(Some(header.as_bytes()), b"grant_type=client_credentials", PEER);
    assert_eq!(by_header.await.unwrap().scope, "write read");
    for (form, error) in [
        (&b"grant_type=password&client_id=exp&client_secret=s3cret"[..], NotGranted::GrantType),
        (
            b"grant_type=client_credentials&client_id=exp&client_secret=no",
            NotGranted::Denied(Denied::Unauthorized),
        ),
        (b"grant_type=client_credentials", NotGranted::Denied(Denied::Unauthorized)),
        (
            b"grant_type=client_credentials&client_id=exp&client_secret=s3cret&scope=all",
            NotGranted::Scope,
        ),
    ] {
        assert_eq!(auth.grant(None, form, PEER).await.unwrap_err(), error);
    }

    let again = dir.open(&text).unwrap();
    assert!(ask(&again, &any, &bearer).await.is_ok(), "after a restart");
    let changed = dir.open(&client("other")).unwrap();
    assert!(ask(&changed, &any, &bearer).await.is_err(), "with another secret");
}

fn signer(algorithm: Algorithm, name: &str) -> (EncodingKey, serde_json::Value) {
    match algorithm {
        Algorithm::EdDSA => {
            let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
            let x = URL_SAFE_NO_PAD.encode(pair.public_key_raw());
            let jwk = json!({"kty": "OKP", "crv": "Ed25519", "kid": name, "x": x});
            (EncodingKey::from_ed_der(&pair.serialize_der()), jwk)
        }
        _ => {
            let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
            let key = EncodingKey::from_ec_der(&pair.serialize_der());
            let mut jwk = Jwk::from_encoding_key(&key, algorithm).unwrap();
            jwk.common.key_id = Some(name.into());
            (key, serde_json::to_value(jwk).unwrap())
        }
    }
}

fn jwt(key: &EncodingKey, algorithm: Algorithm, name: &str, change: serde_json::Value) -> String {
    let mut claims = json!({
        "iss": "https://issuer.test/", "aud": "lake", "sub": "exporter",
        "exp": jsonwebtoken::get_current_timestamp() + 60, "scope": "a write",
    });
    for (claim, value) in change.as_object().unwrap() {
        claims[claim] = value.clone();
    }
    let header = Header { kid: Some(name.into()), ..Header::new(algorithm) };
    format!("Bearer {}", jsonwebtoken::encode(&header, &claims, key).unwrap())
}

#[tokio::test]
async fn jwts_are_held_against_issuer_audience_time_scope_and_key() {
    for algorithm in [Algorithm::ES256, Algorithm::EdDSA] {
        let dir = CredentialsDir::new();
        let (key, jwk) = signer(algorithm, "k1");
        let (other, other_jwk) = signer(algorithm, "k2");
        dir.write("keys.json", &json!({ "keys": [jwk, {"kty": "new kind"}] }).to_string());
        let text = "[[issuer]]\nissuer = \"https://issuer.test/\"\naudience = \"lake\"\n\
                    jwks = \"keys.json\"\nscope = \"write\"\n";
        let auth = dir.open(text).unwrap();
        let any = Rules::any();
        let good = jwt(&key, algorithm, "k1", json!({}));
        assert_eq!(ask(&auth, &any, &good).await, Ok("https://issuer.test/#exporter".into()));
        let now = jsonwebtoken::get_current_timestamp();
        for (what, token) in [
            ("issuer", jwt(&key, algorithm, "k1", json!({"iss": "https://other.test/"}))),
            ("audience", jwt(&key, algorithm, "k1", json!({"aud": "pond"}))),
            ("expired", jwt(&key, algorithm, "k1", json!({"exp": now - 60}))),
            ("not yet", jwt(&key, algorithm, "k1", json!({"nbf": now + 90}))),
            ("scope", jwt(&key, algorithm, "k1", json!({"scope": "writer"}))),
            ("key", jwt(&other, algorithm, "k1", json!({}))),
        ] {
            assert_eq!(ask(&auth, &any, &token).await, Err(Denied::Unauthorized), "{what}");
        }
        // A rotated key: the file changes, and is read again.
        let rotated = jwt(&other, algorithm, "k2", json!({}));
        assert!(ask(&auth, &any, &rotated).await.is_err());
        dir.write("keys.json", &json!({ "keys": [other_jwk] }).to_string());
        let auth_ = Arc::clone(&auth);
        let fresh = tokio::spawn(async move { auth_.keep_fresh().await });
        tokio::time::sleep(CHECK_EVERY + Duration::from_millis(500)).await;
        fresh.abort();
        assert!(ask(&auth, &any, &rotated).await.is_ok(), "the new key");
        assert!(ask(&auth, &any, &good).await.is_err(), "the old key");
    }
}

#[tokio::test]
async fn a_token_cannot_choose_its_own_algorithm() {
    let dir = CredentialsDir::new();
    let (_, jwk) = signer(Algorithm::ES256, "k1");
    let keys = json!({ "keys": [jwk] }).to_string();
    dir.write("keys.json", &keys);
    let text = "[[issuer]]\nissuer = \"https://issuer.test/\"\naudience = \"lake\"\njwks = \"keys.json\"\n";
    let auth = dir.open(text).unwrap();
    let x = jwk["x"].as_str().unwrap();
    let hmac = jwt(&EncodingKey::from_secret(x.as_bytes()), Algorithm::HS256, "k1", json!({}));
    assert!(ask(&auth, &Rules::any(), &hmac).await.is_err());
    let none = "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.";
    assert!(ask(&auth, &Rules::any(), none).await.is_err());
}

#[tokio::test]
async fn a_file_that_cannot_be_used_says_why_without_its_text() {
    let dir = CredentialsDir::new();
    dir.write("short", "hunter2-hunter2-hunter2-hunter2");
    for (text, why) in [
        ("[[user]]\nname = \"a\"\npassword = \"hunter2\"\n", ":3: unknown field"),
        ("[[user]]\nname = \"a\"\npassword_hash = \"hunter2\"\n", "no Argon2 hash"),
        ("[[user]]\nname = \"a\"\n", "one of password_hash"),
        ("[[user]]\nname = \"a\"\npassword_env = \"NO_SUCH_VARIABLE_\"\n", "is not set"),
        ("[[token]]\nname = \"a\"\ntoken_hash = \"hunter2\"\n", "token_hash is not"),
        ("[[user]]\nname = \"hunter2\npassword_hash = 1", ".toml:"),
        ("[[user]]\nname = [\"hunter2\"]\n", "another kind than a string"),
        ("[[user]]\nname = \"a\"\npassword_hash = [\"hunter2\"]\n", "another kind"),
        ("token_seconds = \"hunter2, expected x\"\n", "another kind than u64"),
        ("user = \"hunter2\"\n", "another kind than a sequence"),
        (
            "[[user]]\nname = \"a\"\npassword_file = \"hunter2\"\n",
            "cannot read the file of the secret",
        ),
        (
            "[[token]]\nname = \"a\"\ntoken_file = \"hunter2\\u0000\"\n",
            "cannot read the file of the",
        ),
        ("[[token]]\nname = \"a\"\ntoken_file = \"short\"\n", "less than 32 characters"),
        ("[[issuer]]\nissuer=\"i\"\naudience=\"a\"\njwks=\"http://keys.test/\"\n", "use https"),
    ] {
        let error = dir.open(text).unwrap_err().to_string();
        assert!(error.contains(why) && !error.contains("hunter2"), "{error}");
    }
}

#[tokio::test]
async fn equal_passwords_that_come_together_are_computed_few_times() {
    let dir = CredentialsDir::new();
    let auth = dir.open(&user("ann", "right")).unwrap();
    let started = Instant::now();
    let tasks: Vec<_> = (0..200)
        .map(|_| {
            let auth = Arc::clone(&auth);
            tokio::spawn(async move { ask(&auth, &Rules::any(), &basic("ann", "right")).await })
        })
        .collect();
    for task in tasks {
        assert!(task.await.unwrap().is_ok());
    }
    // 200 hashes of some 20 ms each, two at a time at best, would take longer.
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guesses_that_come_together_count_as_those_in_turn_and_hold_up_nobody_else() {
    let dir = CredentialsDir::new();
    let auth = dir.open(&user("ann", "right")).unwrap();
    let guesses: Vec<_> = (0..200)
        .map(|number| {
            let auth = Arc::clone(&auth);
            let guess = basic("ann", &number.to_string());
            tokio::spawn(async move { ask(&auth, &Rules::any(), &guess).await })
        })
        .collect();
    // Some go away before they are answered: that is no way to guess for nothing.
    for guess in &guesses[..5] {
        tokio::time::sleep(Duration::from_millis(2)).await;
        guess.abort();
    }
    let other = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 8));
    let began = Instant::now();
    let right = basic("ann", "right");
    assert_eq!(
        auth.check(&Rules::any(), Some(right.as_bytes()), other).await.as_deref(),
        Ok("ann")
    );
    assert!(began.elapsed() < Duration::from_secs(3), "it had to wait {:?}", began.elapsed());
    let mut tried = 0;
    for guess in guesses {
        match guess.await {
            Ok(Err(Denied::Unauthorized)) => tried += 1,
            Ok(Err(Denied::TooMany(_))) | Err(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!((1..=14).contains(&tried), "{tried} were computed");
}

#[tokio::test]
async fn a_right_password_costs_no_attempt_and_a_wrong_one_does() {
    let dir = CredentialsDir::new();
    let users: String = (0..15).map(|n| user(&format!("u{n}"), "right")).collect();
    let auth = dir.open(&users).unwrap();
    for number in 0..15 {
        let right = basic(&format!("u{number}"), "right");
        assert!(ask(&auth, &Rules::any(), &right).await.is_ok(), "{number}");
    }
}

#[tokio::test]
async fn an_unknown_name_costs_what_the_dearest_hash_does() {
    let dear =
        "$argon2id$v=19$m=65536,t=3,p=1$c29tZXNhbHQ$GpZ3sK/oH9p7VIiV56G/64Zo/8GaUw434IimaPqxwCo";
    let cheap = password::hash("x").unwrap();
    let decoy = hasher::decoy_hash([&*cheap, dear].into_iter()).unwrap();
    assert!(decoy.starts_with("$argon2id$v=19$m=65536,t=3,p=1$"), "{decoy}");
    assert!(hasher::is_hash(&decoy));
    assert!(hasher::decoy_hash(std::iter::empty()).unwrap().contains("m=19456,t=2,p=1"));
}

/// A key set on a port of loopback: it can change, be slow, and counts how often it was fetched.
struct Keys {
    url: String,
    text: Arc<parking_lot::Mutex<String>>,
    fetched: Arc<std::sync::atomic::AtomicUsize>,
}

impl Keys {
    async fn serve(delay: Duration) -> Keys {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let keys = Keys { url, text: Arc::default(), fetched: Arc::default() };
        let (text, fetched) = (Arc::clone(&keys.text), Arc::clone(&keys.fetched));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (text, fetched) = (Arc::clone(&text), Arc::clone(&fetched));
                tokio::spawn(async move {
                    let mut head = vec![0; 4096];
                    let _ = stream.read(&mut head).await;
                    fetched.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    tokio::time::sleep(delay).await;
                    let text = text.lock().clone();
                    let answer = format!(
                        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
                        text.len()
                    );
                    let _ = stream.write_all(answer.as_bytes()).await;
                });
            }
        });
        keys
    }

    fn publish(&self, keys: &[&serde_json::Value]) {
        *self.text.lock() = json!({ "keys": keys }).to_string();
    }

    fn fetched(&self) -> usize {
        self.fetched.load(std::sync::atomic::Ordering::Relaxed)
    }
}

fn issuer(url: &str) -> String {
    format!(
        "[[issuer]]\nissuer = \"https://issuer.test/\"\naudience = \"lake\"\njwks = \"{url}\"\n"
    )
}

#[tokio::test]
async fn a_good_token_is_taken_from_the_start_and_after_a_rotation_by_one_fetch() {
    let (key, jwk) = signer(Algorithm::ES256, "k1");
    let (new, new_jwk) = signer(Algorithm::ES256, "k2");
    let keys = Keys::serve(Duration::from_millis(200)).await;
    keys.publish(&[&jwk]);
    let auth = CredentialsDir::new().open(&issuer(&keys.url)).unwrap();
    let any = Rules::any();
    let together = |token: String| {
        let (auth, any) = (&auth, &any);
        let asked = (0..20).map(move |_| {
            let token = token.clone();
            async move { ask(auth, any, &token).await }
        });
        futures::future::join_all(asked)
    };
    // Nothing has been fetched yet.
    for answer in together(jwt(&key, Algorithm::ES256, "k1", json!({}))).await {
        assert!(answer.is_ok(), "{answer:?}");
    }
    assert_eq!(keys.fetched(), 1);
    // What says it is somebody else's is no reason to fetch.
    let elsewhere = jwt(&new, Algorithm::ES256, "k9", json!({"iss": "https://other.test/"}));
    assert_eq!(ask(&auth, &any, &elsewhere).await, Err(Denied::Unauthorized));
    keys.publish(&[&new_jwk]);
    for answer in together(jwt(&new, Algorithm::ES256, "k2", json!({}))).await {
        assert!(answer.is_ok(), "{answer:?}");
    }
    assert_eq!(keys.fetched(), 2);
}

#[tokio::test]
async fn an_issuer_that_cannot_be_reached_holds_up_no_other_and_refuses_nobody() {
    let (key, jwk) = signer(Algorithm::ES256, "k1");
    let dead = Keys::serve(Duration::from_secs(60)).await;
    let dir = CredentialsDir::new();
    dir.write("keys.json", &json!({ "keys": [jwk] }).to_string());
    let other = issuer("keys.json").replace("https://issuer.test/", "https://other.test/");
    let auth = dir.open(&(issuer(&dead.url) + &other)).unwrap();
    let auth_ = Arc::clone(&auth);
    let fresh = tokio::spawn(async move { auth_.keep_fresh().await });
    let began = Instant::now();
    let good = jwt(&key, Algorithm::ES256, "k1", json!({"iss": "https://other.test/"}));
    assert!(ask(&auth, &Rules::any(), &good).await.is_ok());
    dir.write("credentials.toml", &(issuer(&dead.url) + &other + &user("ann", "right")));
    tokio::time::sleep(CHECK_EVERY * 2).await;
    assert!(ask(&auth, &Rules::any(), &basic("ann", "right")).await.is_ok(), "read again");
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    let unknown = jwt(&key, Algorithm::ES256, "k1", json!({}));
    assert_eq!(ask(&auth, &Rules::any(), &unknown).await, Err(Denied::Busy));
    fresh.abort();
}

#[tokio::test]
async fn a_key_without_a_name_fits_when_it_is_the_only_one_and_critical_headers_are_refused() {
    let dir = CredentialsDir::new();
    let (key, mut jwk) = signer(Algorithm::ES256, "k1");
    let (_, mut other) = signer(Algorithm::ES256, "k2");
    for jwk in [&mut jwk, &mut other] {
        jwk.as_object_mut().unwrap().remove("kid");
    }
    dir.write("keys.json", &json!({ "keys": [jwk] }).to_string());
    let auth = dir.open(&issuer("keys.json")).unwrap();
    let any = Rules::any();
    let good = jwt(&key, Algorithm::ES256, "k1", json!({}));
    assert!(ask(&auth, &any, &good).await.is_ok());
    let header = Header { crit: Some(vec!["b64".into()]), ..Header::new(Algorithm::ES256) };
    let claims = json!({
        "iss": "https://issuer.test/", "aud": "lake",
        "exp": jsonwebtoken::get_current_timestamp() + 60,
    });
    let critical = format!("Bearer {}", jsonwebtoken::encode(&header, &claims, &key).unwrap());
    assert_eq!(ask(&auth, &any, &critical).await, Err(Denied::Unauthorized));
    dir.write("keys.json", &json!({ "keys": [jwk, other] }).to_string());
    let auth = dir.open(&issuer("keys.json")).unwrap();
    assert_eq!(ask(&auth, &any, &good).await, Err(Denied::Unauthorized), "which one?");
}

#[tokio::test]
async fn keys_come_by_https_or_from_loopback() {
    let dir = CredentialsDir::new();
    for good in
        ["https://a.test/k", "http://127.0.0.1:80/k", "http://localhost/k", "http://[::1]:1/k"]
    {
        assert!(dir.open(&issuer(good)).is_ok(), "{good}");
    }
    for (bad, why) in [
        ("http://127.0.0.1:80@evil.test/k", "does not belong"),
        ("http://evil.test/k", "use https"),
        ("http://localhost.evil.test/k", "use https"),
        ("http://127.0.0.1.evil.test/k", "use https"),
        ("https://u:p@a.test/k", "does not belong"),
    ] {
        let error = dir.open(&issuer(bad)).unwrap_err().to_string();
        assert!(error.contains(why) && !error.contains("u:p"), "{error}");
    }
}

#[tokio::test]
async fn who_is_vouched_for_by_an_issuer_is_nobody_else() {
    let dir = CredentialsDir::new();
    let (key, jwk) = signer(Algorithm::ES256, "k1");
    dir.write("keys.json", &json!({ "keys": [jwk] }).to_string());
    let hash = token_hash("sesame");
    let token = format!("[[token]]\nname = \"batch\"\ntoken_hash = \"{hash}\"\n");
    let auth = dir.open(&(issuer("keys.json") + &user("exporter", "right") + &token)).unwrap();
    let allowed = async |entry: &str, header: &str| {
        let rules = Rules { allow: Some(vec![entry.to_owned()]), ..Rules::any() };
        ask(&auth, &rules, header).await.is_ok()
    };
    let jwt = jwt(&key, Algorithm::ES256, "k1", json!({}));
    let exporter = basic("exporter", "right");
    assert!(allowed("exporter", &exporter).await && !allowed("exporter", &jwt).await);
    assert!(allowed("user:exporter", &exporter).await && !allowed("user:exporter", &jwt).await);
    assert!(!allowed("token:exporter", &exporter).await);
    assert!(
        allowed("token:batch", "Bearer sesame").await && allowed("batch", "Bearer sesame").await
    );
    for entry in ["https://issuer.test/#exporter", "jwt:https://issuer.test/#exporter"] {
        assert!(allowed(entry, &jwt).await && !allowed(entry, &exporter).await, "{entry}");
    }
}

#[tokio::test]
async fn the_key_of_our_own_tokens_is_there_whole_and_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = CredentialsDir::new();
    // What a crash left of one that was being made.
    std::fs::create_dir(dir.dir.path().join("state")).unwrap();
    dir.write("state/oauth2.new", "half");
    dir.open(&user("ann", "right")).unwrap();
    let key = dir.dir.path().join("state/oauth2.key");
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read(&key).unwrap().len(), 32);
    assert!(!dir.dir.path().join("state/oauth2.new").exists());
}

#[tokio::test]
async fn a_token_for_something_else_is_refused_by_its_type() {
    let dir = CredentialsDir::new();
    let (key, jwk) = signer(Algorithm::ES256, "k1");
    dir.write("keys.json", &json!({ "keys": [jwk] }).to_string());
    let auth = dir.open(&issuer("keys.json")).unwrap();
    let ask = async |typ: Option<&str>| {
        let typ = typ.map(str::to_owned);
        let header = Header { typ, kid: Some("k1".into()), ..Header::new(Algorithm::ES256) };
        let claims = json!({
            "iss": "https://issuer.test/", "aud": "lake", "sub": "exporter",
            "exp": jsonwebtoken::get_current_timestamp() + 60,
        });
        let token = jsonwebtoken::encode(&header, &claims, &key).unwrap();
        ask(&auth, &Rules::any(), &format!("Bearer {token}")).await
    };
    for typ in [None, Some("JWT"), Some("jwt"), Some("at+jwt"), Some("application/at+jwt")] {
        assert!(ask(typ).await.is_ok(), "{typ:?}");
    }
    for typ in ["id+jwt", "logout+jwt", "dpop+jwt", "application/id+jwt", "JOSE", ""] {
        assert_eq!(ask(Some(typ)).await, Err(Denied::Unauthorized), "{typ}");
    }
}

#[tokio::test]
async fn tokens_with_keys_that_nobody_has_wait_a_second_and_fetch_once_for_all() {
    let (key, jwk) = signer(Algorithm::ES256, "k1");
    let keys = Keys::serve(Duration::ZERO).await;
    keys.publish(&[&jwk]);
    let auth = CredentialsDir::new().open(&issuer(&keys.url)).unwrap();
    let any = Rules::any();
    assert!(ask(&auth, &any, &jwt(&key, Algorithm::ES256, "k1", json!({}))).await.is_ok());
    let began = Instant::now();
    let asked = (0_u8..200).map(|number| {
        let token = jwt(&key, Algorithm::ES256, &format!("none-{number}"), json!({}));
        let from = IpAddr::from([192, 0, 2, number]);
        let (auth, any) = (&auth, &any);
        async move { auth.check(any, Some(token.as_bytes()), from).await }
    });
    for answer in futures::future::join_all(asked).await {
        assert_eq!(answer, Err(Denied::Unauthorized));
    }
    let took = began.elapsed();
    assert!(took < Duration::from_millis(1900), "{took:?}");
    assert!(keys.fetched() <= 3, "{}", keys.fetched());
}

#[tokio::test]
async fn more_tokens_than_may_wait_for_a_key_are_asked_to_come_again_at_once() {
    let (key, _) = signer(Algorithm::ES256, "k1");
    let keys = Keys::serve(Duration::from_secs(60)).await;
    let auth = CredentialsDir::new().open(&issuer(&keys.url)).unwrap();
    let token = jwt(&key, Algorithm::ES256, "none", json!({}));
    let any = Rules::any();
    let mut answers: futures::stream::FuturesUnordered<_> =
        (0..300).map(|_| ask(&auth, &any, &token)).collect();
    let began = Instant::now();
    let mut at_once = 0;
    while let Some(answer) = futures::StreamExt::next(&mut answers).await {
        assert_eq!(answer, Err(Denied::Busy));
        at_once += usize::from(began.elapsed() < Duration::from_secs(1));
    }
    assert_eq!(at_once, 300 - 256);
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}
