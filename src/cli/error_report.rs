//! Errors for people: each cause once, with advice on the usual failures of a store.
//!
//! Libraries put the text of a cause into the text of the error above it, and give it as a cause as
//! well: unedited, one failure is nine lines.

/// Returns the texts of the error and its causes, outermost first, without repetitions.
pub(super) fn lines(error: &anyhow::Error) -> Vec<String> {
    let texts: Vec<String> = error.chain().map(ToString::to_string).collect();
    let mut shown: Vec<String> = Vec::with_capacity(texts.len());
    // From the deepest up, since a text may end in one that repeats itself.
    for (at, text) in texts.iter().enumerate().rev() {
        let below = texts.get(at + 1).filter(|below| !below.is_empty());
        let own = below.and_then(|below| Some((below, text.strip_suffix(below.as_str())?)));
        shown.push(match (own, shown.last()) {
            (Some((below, own)), _) if own.contains(below.as_str()) => {
                own.trim_end_matches([':', ' ', '-']).to_owned()
            }
            (Some((_, own)), Some(last)) => format!("{own}{last}"),
            _ => text.clone(),
        });
    }
    let mut lines: Vec<String> = Vec::new();
    for text in shown.into_iter().rev() {
        let text = text.trim_end().to_owned();
        if !lines.iter().any(|line| line.contains(&text)) {
            lines.push(text);
        }
    }
    lines
}

/// Returns advice on the error, where there is some.
pub(super) fn advice(error: &anyhow::Error) -> Option<&'static str> {
    // By its text, since errors that wrap a store's hide its type.
    let text = lines(error).join(": ");
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if !says(&["Error performing ", "The operation lacked "]) {
        return None;
    }
    Some(if says(&["URL scheme is not allowed"]) {
        "plain http:// is spoken only if asked for: set AWS_ALLOW_HTTP=true, or allow_http = true \
         under [storage]"
    } else if says(&["/metadata/identity"]) {
        "there are no credentials: set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, \
         or their like under [storage]"
    } else if says(&["/computeMetadata/", "metadata.google.internal"]) {
        "there are no credentials: set GOOGLE_SERVICE_ACCOUNT, or google_service_account under \
         [storage]"
    } else if says(&["169.254.169.254", "169.254.170.2", "AWS_ACCESS_KEY"]) {
        "there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or \
         aws_access_key_id and aws_secret_access_key under [storage]"
    } else if says(&["Connection refused"]) {
        "nobody listens there: is the store running, and is its address (AWS_ENDPOINT_URL, or \
         aws_endpoint under [storage]) right?"
    } else if says(&["dns error", "failed to lookup address"]) {
        "there is no such host: is the address of the store (AWS_ENDPOINT_URL, or aws_endpoint \
         under [storage]), or its region, spelled right?"
    } else if says(&["NoSuchBucket", "ContainerNotFound", "The specified bucket does not exist"]) {
        "there is no such bucket: make it, or give another lake"
    } else if says(&["SignatureDoesNotMatch"]) {
        "the secret key is not the one of this access key: see AWS_SECRET_ACCESS_KEY, or \
         aws_secret_access_key under [storage]"
    } else if says(&["InvalidAccessKeyId"]) {
        "the store does not know this access key: see AWS_ACCESS_KEY_ID, or aws_access_key_id \
         under [storage]"
    } else if says(&["The operation lacked ", "403 Forbidden", "401 Unauthorized"]) {
        "the store refuses these credentials: they may be wrong, or may not list, read, write and \
         delete here"
    } else {
        return None;
    })
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Nested {
        #[error("Error performing PUT http://169.254.169.254/x: {0}")]
        Put(#[source] Box<Nested>),
        #[error("Server returned {0}")]
        Status(u16),
    }

    fn of_a_store(source: Nested) -> anyhow::Error {
        let error = object_store::Error::Generic { store: "S3", source: Box::new(source) };
        Err::<(), _>(error).context("cannot write to s3://b/p").unwrap_err()
    }

    #[test]
    fn nothing_is_said_twice() {
        let error = of_a_store(Nested::Put(Box::new(Nested::Status(403))));
        let generic = "Generic S3 error: Error performing PUT http://169.254.169.254/x: Server \
                       returned 403";
        assert_eq!(lines(&error), ["cannot write to s3://b/p", generic]);
    }

    #[test]
    fn a_text_that_repeats_itself_is_cut() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot ask: it said 403: it said 403")]
        struct Twice(#[source] Said);
        #[derive(Debug, thiserror::Error)]
        #[error("it said 403")]
        struct Said;
        assert_eq!(lines(&Twice(Said).into()), ["cannot ask: it said 403"]);
    }

    #[test]
    fn causes_that_say_more_are_reported() {
        let io = std::io::Error::other("no such file");
        let error = anyhow::Error::new(io).context("cannot read a").context("cannot start");
        assert_eq!(lines(&error), ["cannot start", "cannot read a", "no such file"]);
        assert_eq!(advice(&error), None, "this is no store's");
    }

    #[test]
    fn usual_failures_come_with_advice() {
        let error = of_a_store(Nested::Put(Box::new(Nested::Status(403))));
        assert!(advice(&error).unwrap().contains("AWS_ACCESS_KEY_ID"));
        let with = |text: &'static str| {
            let error = anyhow::anyhow!("Error performing GET http://x/ in 1ms - {text}");
            advice(&error.context("cannot list the lake")).unwrap_or_default()
        };
        assert!(with("URL scheme is not allowed").contains("AWS_ALLOW_HTTP=true"));
        assert!(with("tcp connect error: Connection refused").contains("AWS_ENDPOINT_URL"));
        assert!(with("<Code>NoSuchBucket</Code>").contains("no such bucket"));
        assert!(with("status code: 403 Forbidden: ").contains("refuses these credentials"));
        assert_eq!(with("something else"), "");
    }
}
