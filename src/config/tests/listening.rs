//! Addresses that are listened on, and peers.

use super::*;

#[test]
fn only_an_explicit_word_opens_the_listener_to_others() {
    let error = load(&["--listen=0.0.0.0:3000"], &[], None).unwrap_err().to_string();
    assert_eq!(
        error,
        "--listen: 0.0.0.0 can be reached from other machines, with neither encryption nor \
         authentication; listen on 127.0.0.1, give it both (tls_cert, tls_key, credentials), or \
         allow it: --insecure-listen"
    );
    assert!(complaint("listen = \"[::]:80\"").ends_with("allow it: insecure_listen = true"));
    assert!(load(&["--listen=0.0.0.0:3000", "--insecure-listen"], &[], None).is_ok());
    for loopback in ["127.0.0.1:0", "127.8.9.1:1", "[::1]:3000", "localhost:3000"] {
        let loaded = load(&["--listen", loopback], &[], None);
        assert!(!loaded.unwrap().settings.addresses.is_empty(), "{loopback}");
    }
}

#[test]
fn with_tls_and_credentials_for_all_anybody_may_be_listened_to() {
    let tls = ["--listen=0.0.0.0:3000", "--tls-cert=c", "--tls-key=k"];
    let error = load(&tls, &[], None).unwrap_err().to_string();
    assert!(error.contains("encryption but no authentication"), "{error}");
    let mut both = tls.to_vec();
    both.push("--credentials=c.toml");
    assert!(load(&both, &[], None).is_ok());
    let mut certified = tls.to_vec();
    certified.push("--tls-client-ca=ca");
    assert!(load(&certified, &[], None).is_ok());
    let open = Some("[[endpoint]]\nauth = \"none\"");
    assert!(load(&both, &[], open).is_err(), "one endpoint asks nobody");
    let error = load(&["--listen=0.0.0.0:3000", "--credentials=c.toml"], &[], None).unwrap_err();
    assert!(error.to_string().contains("authentication but no encryption"), "{error}");
}

#[test]
fn an_ipv4_network_is_one_however_it_is_written() {
    let text = "[[endpoint]]\npeers = [\"::ffff:10.0.0.0/104\", \"::ffff:192.0.2.7\", \"::1\"]";
    let settings = load(&[], &[], Some(text)).unwrap().settings;
    let peers: Vec<_> = settings.http.endpoints[0].peers.iter().map(ToString::to_string).collect();
    assert_eq!(peers, ["10.0.0.0/8", "192.0.2.7/32", "::1/128"]);
}
