//! Tokens of OAuth2: fetched, renewed, refused, not to be had.

use super::*;

fn oauth2() -> Credentials {
    Credentials::OAuth2(OAuth2::parse("id:se:c&ret"))
}

/// Grants tokens t1, t2, …, as long as `is_there`; knows only the last one.
async fn token_server(
    expires_in: u64,
    is_there: impl Fn(usize) -> bool + Send + Sync + 'static,
) -> Server {
    let granted = Mutex::new(0);
    Server::start(move |got, number| {
        if got.line.contains("/oauth/tokens") {
            if !is_there(number) {
                return (504, String::new());
            }
            *granted.lock() += 1;
            let token = format!("t{}", granted.lock());
            return (200, json!({"access_token": token, "expires_in": expires_in}).to_string());
        }
        let last = format!("Bearer t{}", granted.lock());
        match got.header("authorization") == Some(&last) {
            true if got.line.contains("config") => (200, "{}".to_owned()),
            true => (200, loaded()),
            false => (401, error_body("NotAuthorizedException", "expired")),
        }
    })
    .await
}

#[tokio::test]
async fn a_token_is_fetched_once_and_renewed_when_it_is_refused() {
    let server = token_server(3_600, |_| true).await;
    let catalog = server.catalog(oauth2());
    for _ in 0..3 {
        catalog.load("t").await.unwrap().unwrap();
    }
    let tokens = || server.lines().iter().filter(|line| line.contains("/oauth/")).count();
    assert_eq!(tokens(), 1);
    let asked = server.got.lock()[0].clone();
    assert_eq!(asked.line, "POST /base/v1/oauth/tokens");
    let form =
        "grant_type=client_credentials&client_id=id&client_secret=se%3Ac%26ret&scope=catalog";
    assert_eq!(asked.body, form);
    // Somebody else's renewal makes the token void.
    let other = server.catalog(oauth2());
    other.load("t").await.unwrap();
    catalog.commit("t", &commit()).await.unwrap();
    assert_eq!(tokens(), 3);
}

#[tokio::test]
async fn a_token_that_is_refused_again_ends_the_request() {
    let server = Server::start(|got, _| match got.line.contains("/oauth/") {
        true => (200, r#"{"access_token":"t"}"#.to_owned()),
        false => (401, error_body("NotAuthorizedException", "never")),
    })
    .await;
    let error = server.catalog(oauth2()).load("t").await.unwrap_err();
    let why = "the catalog answers 401 Unauthorized: NotAuthorizedException: never; it does not know \
               who asks: give the credential, token or signing_name under [catalog] that it wants";
    assert_eq!(error, RestError::Refused(why.to_owned()));
    assert_eq!(server.lines().len(), 4);
}

#[tokio::test]
async fn a_token_endpoint_that_was_away_is_of_no_consequence() {
    // Away at first: each request fails, and the next one asks again.
    let server = token_server(3_600, |number| number > 1).await;
    let catalog = server.catalog(oauth2());
    for _ in 0..2 {
        let error = catalog.load("t").await.unwrap_err();
        assert!(matches!(error, RestError::Away(_)), "{error:?}");
    }
    catalog.load("t").await.unwrap().unwrap();
    // Away when the token is due, of 4 s after 3 s: it is used while it is valid.
    let server = token_server(4, |number| number == 0).await;
    let catalog = server.catalog(oauth2());
    catalog.load("t").await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_millis(3_100)).await;
    catalog.load("t").await.unwrap().unwrap();
    let asked = server.lines().iter().filter(|line| line.contains("/oauth/")).count();
    assert_eq!(asked, 2);
}

#[tokio::test]
async fn a_client_that_the_endpoint_does_not_know_is_refused() {
    let server = Server::start(|_, _| {
        (401, r#"{"error":"invalid_client","error_description":"who?"}"#.to_owned())
    })
    .await;
    let error = server.catalog(oauth2()).load("t").await.unwrap_err();
    let why = "the token endpoint answers 401 Unauthorized: invalid_client who?; are credential, scope and \
               oauth2_uri under [catalog] right?";
    assert_eq!(error, RestError::Refused(why.to_owned()));
}
