//! Rules that are replaced while requests are under way.

use super::*;

fn changed(change: impl FnOnce(&mut Options)) -> Options {
    let mut options = options();
    change(&mut options);
    options
}

#[tokio::test]
async fn a_request_is_judged_by_the_rules_of_its_head_to_its_end() {
    let server = Server::start().await;
    let mut under_way = server.client().await;
    let head = format!("PUT {PATH} HTTP/1.1\r\nHost: t\r\nContent-Length: 12\r\n\r\n");
    under_way.send(&head).await;
    under_way.send("{\"id\":").await;
    // Until it has surely been read.
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.rules.replace(&changed(|options| {
        options.endpoints[0].name = "other".into();
        options.endpoints[0].path = "/other".into();
        options.endpoints[0].body_limit_bytes = 1;
        options.endpoints[0].inflated_limit_bytes = 1;
    }));
    let put =
        |path: &str| format!("PUT {path} HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\n{{}}");
    assert_eq!(server.ask(put(PATH)).await.status, 404);
    assert_eq!(server.ask(put("/other")).await.status, 413);
    under_way.send("\"a\"}\n\n").await;
    assert_eq!(under_way.answer().await.status, 200);
    assert_eq!(server.bodies().len(), 1);
    server.begin_shutdown();
    server.ended().await;
}

#[tokio::test]
async fn larger_bodies_get_their_memory_and_a_rate_that_stays_goes_on_counting() {
    let server = Server::with(|options, _| options.requests_per_second = Some(1)).await;
    let put = format!("PUT {PATH} HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\n{{}}\n");
    let mut codes = Vec::new();
    for large in [1 << 20, 700 << 20, 1 << 20] {
        server.rules.replace(&changed(|options| {
            options.requests_per_second = Some(1);
            options.endpoints[0].inflated_limit_bytes = large;
        }));
        codes.push(server.ask(&put).await.status);
    }
    assert_eq!(codes, [200, 200, 429], "a reload gives no new turns");
    let mut reservation = server.rules.budget().reserve(somebody());
    reservation.grow_to(700 << 20).await.unwrap();
    server.begin_shutdown();
    server.ended().await;
}
