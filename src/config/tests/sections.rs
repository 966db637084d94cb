//! Sections of the file.

use super::*;
use crate::config::reference;
use crate::config::sections::list::{KeyKind, SECTIONS};

#[test]
fn endpoints_are_as_their_sections_say_and_else_as_the_settings_do() {
    let text = r#"
body_limit = "2MiB"
credentials = "c.toml"
[[endpoint]]
path = "/export/events"
[[endpoint]]
name = "elastic"
form = "elasticsearch"
path = "/"
methods = ["POST"]
auth = ["basic", "token"]
allow = ["ann"]
peers = ["10.0.0.0/8", "::1"]
body_limit = "1MiB"
requests_per_second = 5
indices = { "orders-*" = "orders", "*" = "user_sessions" }
[[endpoint]]
name = "open"
path = "/open"
auth = "none"
[[tables]]
name = "orders"
schema = "examples/orders.avsc"
[privacy]
ip = "truncate"
"userActions.targetUrl" = "drop"
"#;
    let key = "privacy_key = \"p.key\"\n";
    let settings = load(&[], &[], Some(&format!("{key}{text}"))).unwrap().settings;
    let [first, elastic, open] = &settings.http.endpoints[..] else { panic!() };
    assert_eq!((&*first.name, &*first.path), ("export-events", "/export/events"));
    assert!(first.put && first.post && first.auth == crate::auth::Rules::any());
    assert_eq!(first.body_limit_bytes, 2 << 20);
    assert_eq!((elastic.put, elastic.post, elastic.body_limit_bytes), (false, true, 1 << 20));
    assert_eq!(elastic.form, crate::record::Form::Elasticsearch);
    assert_eq!(elastic.peers.len(), 2);
    assert_eq!(elastic.requests_per_second, Some(5));
    let tables: Vec<_> = elastic.tables().map(|table| &**table).collect();
    assert_eq!(tables, ["user_sessions", "orders"], "by name of the index");
    assert!(!open.auth.is_asked());
    assert_eq!(settings.tables.len(), 2);
    for table in &settings.tables {
        assert_eq!(table.privacy.to_string(), "ip=truncate;userActions.targetUrl=drop");
    }

    let error = complaint(text);
    assert!(error.contains("needs a secret"), "{error}");
}

#[test]
fn sections_that_cannot_be_are_refused_with_their_line() {
    for (text, said) in [
        ("[[endpoint]]\npath = \"/\"", ":2: endpoint.path: \"/\" is for the form elasticsearch"),
        ("[[endpoint]]\npth = \"/a\"", ":2: unknown key `endpoint.pth`; did you mean `path`?"),
        (
            "[[endpoint]]\nmethods = [\"GET\"]",
            ":2: endpoint.methods: \"GET\" is neither PUT nor POST",
        ),
        ("[[endpoint]]\nauth = \"basic\"", ":2: endpoint.auth: needs a file of credentials"),
        ("[[endpoint]]\npeers = [\"10.0.0.0/33\"]", "\"10.0.0.0/33\" is no address or network"),
        ("[[endpoint]]\npeers = []", ":2: endpoint.peers: is empty: nobody could come"),
        ("[[endpoint]]\npeers = [\"::ffff:0:0/90\"]", "takes in more than IPv4"),
        ("[[endpoint]]\npath = \"/oauth2/token\"", "is a path of the program's own"),
        ("[[endpoint]]\ntable = \"orders\"", "there is no table orders; add a section [[tables]]"),
        ("[[endpoint]]\nname = \"a\"\n[[endpoint]]\nname = \"b\"", "is taken by the endpoint a"),
        ("[[endpoint]]\nindices = { \"../x\" = \"user_sessions\" }", "\"../x\" is no index name"),
        (
            "[[tables]]\nname = \"user_sessions\"",
            ":2: tables.name: there is a table user_sessions already, by the default of table: leave",
        ),
        (
            "[[tables]]\nname = \"orders\"\nschema = \"no.avsc\"",
            ":3: tables.schema: cannot read the schema file no.avsc: No such file",
        ),
        ("[[tables]]\nname = \"ordrs\"", "(there is user_sessions, grail_user_sessions,"),
        (
            "[[tables]]\nname = \"orders\"\nschema = \"examples/orders.avsc\"\ndedup = \"-1h\"",
            ":4: tables.dedup: \"-1h\" is not a duration (a number and a unit: ms, s, min, h), or `off`",
        ),
        (
            "[[tables]]\nname = \"orders\"\nschema = \"examples/orders.avsc\"\npromote = \"yes\"",
            ":4: tables.promote: \"yes\" is neither auto nor off, for example promote = \"auto\"",
        ),
        ("[endpoint]\npath = \"/a\"", "of which there may be several: [[endpoint]]"),
        ("[[endpoints]]\npath = \"/a\"", ":1: unknown key `endpoints`; did you mean [[endpoint]]?"),
        ("[endpoints]\npath = \"/a\"", "did you mean [[endpoint]]?"),
        ("[[table]]\nname = \"a\"", "`table` is an array, and should be a string"),
        ("[[tabels]]\nname = \"a\"", "did you mean [[tables]]?"),
        ("[storge]\nallow_http = true", "did you mean [storage]?"),
        ("[Privacy]\nip = \"drop\"", "did you mean [privacy]?"),
        ("methods = [\"PUT\"]", ":1: unknown key `methods`; it is a key of [[endpoint]]"),
        (
            "[[endpoint]]\nlisten = \"x\"",
            "it is a setting of its own: move it above the line [[end",
        ),
        ("[[endpoint]]\ncolour = 1", "; the keys of [[endpoint]] are name, path, methods, form"),
        ("colour = 1", ":1: unknown key `colour`; `sessionlake serve --help` lists the settings"),
        (
            "privacy_key = \"k\"\n[privacy]\nuserid = \"hash\"",
            ":3: privacy.userid: no table has such a column; did you mean `userId`?",
        ),
        (
            "[[tables]]\nname = \"orders\"\nschema = \"examples/orders.avsc\"\npartition = \
             \"date={at:YYYY-MM-DD}\"",
            "write `%Y-%m-%d`",
        ),
        (
            "[[tables]]\nname = \"orders\"\nschema = \"examples/orders.avsc\"\nformat = \"hudi\"",
            ":4: tables.format: \"hudi\" is no table format that this version writes: plain, delta and \
             iceberg are, for example format = \"iceberg\"",
        ),
        (
            "[[tables]]\nname = \"orders\"\nschema = \"examples/orders.avsc\"\npartition = \
             \"customer={customer}\"\nformat = \"delta\"",
            ":4: tables.partition: partition template `customer={customer}`: `customer` is a column of",
        ),
        (
            "partition = \"country={country}\"\ntable_format = \"delta\"",
            ":1: partition: partition template `country={country}`: `country` is a column of table",
        ),
        ("privacy_key = \"k\"\n[privacy]\nduration = \"hash\"", ":3: privacy.duration: only text"),
        (
            "privacy_key = \"k\"\n[privacy]\n\"/userActions/visitor\" = \"hash\"",
            ":3: privacy./userActions/visitor: /userActions is a list, whose items are /userActions/*",
        ),
        ("encrypt_journal = true", ":1: encrypt_journal: needs a secret: --privacy-key"),
        ("tls_cert = \"cert.pem\"", ":1: tls_cert: it needs a private key as well: --tls-key"),
    ] {
        let complaint = complaint(text);
        assert!(complaint.contains(said), "{text}: {complaint}");
    }
}

#[test]
fn the_sections_of_the_example_file_hold_when_they_are_uncommented() {
    let example = reference::example();
    let needed = ["# credentials = ", "# privacy_key = "];
    let mut sections = false;
    let text: Vec<&str> = example
        .lines()
        .filter_map(|line| {
            sections |= line.starts_with("# ── Endpoints");
            let code = line.strip_prefix("# ").filter(|code| {
                code.starts_with('[')
                    || code.split_once(" = ").is_some_and(|(key, _)| {
                        key.trim_matches('"')
                            .chars()
                            .all(|c| c.is_alphanumeric() || "_.".contains(c))
                    })
            });
            let wanted = sections || needed.iter().any(|key| line.starts_with(key));
            code.filter(|_| wanted).or_else(|| (!line.starts_with('#')).then_some(line))
        })
        .collect();
    let settings = load(&[], &[], Some(&text.join("\n"))).unwrap().settings;
    assert_eq!(settings.http.endpoints.len(), 2);
    assert_eq!(settings.tables.len(), 2);
    assert_eq!(settings.tables[1].partition.as_str(), "date={at:%Y-%m-%d}");
    assert!(!settings.tables[0].privacy.is_empty());
}

#[test]
fn wrong_types_in_sections_say_what_was_found_and_expected() {
    for (text, said) in [
        (
            "[[endpoint]]\nmethods = true",
            "sessionlake.toml:2: `endpoint.methods` is a boolean (true), and should be a list of \
             strings, for example methods = [\"PUT\", \"POST\"]",
        ),
        (
            "[[endpoint]]\npeers = [1]",
            "sessionlake.toml:2: `endpoint.peers` is an array, and should be a list of strings, \
             for example peers = [\"10.0.0.0/8\", \"::1\"]",
        ),
        (
            "[[tables]]\n\nname = [\"orders\"]",
            "sessionlake.toml:3: `tables.name` is an array, and should be a string, for example \
             name = \"orders\"",
        ),
        (
            "[[endpoint]]\nindices = \"user_sessions\"",
            "sessionlake.toml:2: `endpoint.indices` is a string (\"user_sessions\"), and should be \
             a table of strings, for example indices = { \"sessions-*\" = \"user_sessions\" }",
        ),
        (
            "[privacy]\nuserActions.targetUrl = \"drop\"",
            "sessionlake.toml:2: `privacy.userActions` is a table, and should be keep, drop, hash \
             or truncate in quotes (a column within another is one quoted key), for example \
             \"userActions.targetUrl\" = \"drop\"",
        ),
        (
            "[privacy]\nip = 5",
            "sessionlake.toml:2: `privacy.ip` is an integer (5), and should be keep, drop, hash or \
             truncate in quotes (a column within another is one quoted key), for example \
             \"userActions.targetUrl\" = \"drop\"",
        ),
    ] {
        assert_eq!(complaint(text), said);
    }
}

#[test]
fn problems_of_all_sections_are_reported_at_once() {
    let text = "[[endpoint]]\nnme = \"a\"\nform = 1.5\n[[tables]]\nname = []\n[storage]\nx = 1\n";
    let said = complaint(text);
    assert!(said.contains("the configuration has 4 problems:"), "{said}");
}

#[test]
fn a_number_stands_for_its_text() {
    let text = "[[endpoint]]\nname = 7\nbody_limit = 0x400000\nrequests_per_second = 5\n";
    let settings = load(&[], &[], Some(text)).unwrap().settings;
    let [endpoint] = &settings.http.endpoints[..] else { panic!() };
    assert_eq!((&*endpoint.name, endpoint.body_limit_bytes), ("7", 4 << 20));
    assert_eq!(endpoint.requests_per_second, Some(5));
}

#[test]
fn a_key_of_the_store_may_be_a_number_of_any_length() {
    let digits = "1234567890".repeat(5);
    let text =
        format!("lake = \"s3://b\"\n[storage]\naws_access_key_id = {digits}\nregion = 0x10\n");
    let lake = load(&[], &[], Some(&text)).unwrap().settings.lake;
    let options: Vec<_> = lake.options.iter().map(|(k, v)| (k.as_str(), v.reveal())).collect();
    assert_eq!(options, [("aws_access_key_id", &*digits), ("region", "0x10")]);
}

#[test]
fn options_of_the_store_are_kept_in_the_order_of_the_file() {
    let text =
        "lake = \"s3://b\"\n[storage]\nregion = \"x\"\naws_region = \"y\"\nallow_http = true\n";
    let lake = load(&[], &[], Some(text)).unwrap().settings.lake;
    let options: Vec<_> = lake.options.iter().map(|(k, v)| (k.as_str(), v.reveal())).collect();
    assert_eq!(options, [("region", "x"), ("aws_region", "y"), ("allow_http", "true")]);
}

#[test]
fn every_example_of_a_key_is_right_by_its_type() {
    for section in SECTIONS {
        for key in section.keys {
            let example = toml::from_str::<toml::Table>(&section.assignment(key.name)).unwrap();
            let value = example.values().next().unwrap();
            let right = match key.kind {
                KeyKind::Text => value.is_str() || value.is_integer(),
                KeyKind::Texts => value.is_array(),
                KeyKind::Pairs => value.is_table(),
                KeyKind::Secret => value.is_str() || value.is_bool(),
                KeyKind::Switch => value.is_bool(),
            };
            assert!(right, "{}.{}", section.name, key.name);
        }
    }
}

#[test]
fn serve_takes_no_section_as_the_table_of_the_settings() {
    let text = "[[tables]]\nname = \"orders\"\nschema = \"examples/orders.avsc\"";
    let told = load(&["--table=orders"], &[], Some(text)).unwrap_err().to_string();
    let expected = ":2: tables.name: there is a table orders already, by --table: leave one of them out, or \
                    give it another name";
    assert!(told.ends_with(expected) && told.lines().count() == 1, "{told}");
}

#[test]
fn properties_become_columns_of_the_tables_that_have_them() {
    let text = "[properties]\nplan = \"string\"\nbasket = \"double\"\n\
                [[tables]]\nname = \"orders\"\nschema = \"examples/orders.avsc\"";
    let settings = load(&[], &[], Some(text)).unwrap().settings;
    let names = |table: usize| -> Vec<String> {
        settings.tables[table].schema.fields.iter().map(|field| field.name.clone()).collect()
    };
    assert!(names(0).ends_with(&["prop_plan".to_owned(), "prop_basket".to_owned()]));
    assert!(!names(1).iter().any(|name| name.starts_with("prop_")));
    assert!(!settings.tables[0].partition.as_str().is_empty());
}

#[test]
fn properties_that_cannot_be_columns_are_refused_by_their_line() {
    for (text, expected) in [
        (
            "[properties]\n\"my plan\" = \"string\"",
            ":2: properties.my plan: the key cannot be part",
        ),
        ("[properties]\nplan = \"text\"", ":2: properties.plan: `text` is no type of a property"),
        (
            "[properties]\nplan = \"string\"\nPlan = \"long\"",
            ":3: properties.Plan: differs from plan only in case",
        ),
        (
            "privacy_key = \"k\"\n[properties]\nplan = \"string\"\n[privacy]\nprop_plan = \"hash\"",
            ":5: privacy.prop_plan: is a column of [properties]",
        ),
        ("[Properties]\nplan = \"string\"", "did you mean [properties]?"),
    ] {
        let told = complaint(text);
        assert!(told.contains(expected), "{told}");
    }
}

#[test]
fn fields_do_not_become_columns_where_what_has_none_is_dropped() {
    let drops = "privacy_key = \"k\"\n[privacy]\n_extra = \"drop\"\n";
    let orders = "[[tables]]\nname = \"orders\"\nschema = \"examples/orders.avsc\"\n";
    let own = format!("{drops}{orders}promote = \"auto\"\n");
    for (text, place) in [
        (format!("promote = \"auto\"\n{drops}"), ":1: promote: [privacy] drops _extra"),
        (own, ":7: tables.promote: [privacy] drops _extra"),
    ] {
        let told = complaint(&text);
        assert!(told.contains(place), "{told}");
    }
    let by_pointer = "promote = \"auto\"\nprivacy_key = \"k\"\n[privacy]\n\"/mail\" = \"drop\"\n";
    assert_eq!(load(&[], &[], Some(by_pointer)).unwrap().settings.promote_after.len(), 1);
    assert!(load(&[], &[], Some(&format!("{drops}{orders}"))).is_ok());
}

#[test]
fn a_rule_that_drops_what_doubles_are_compared_by_is_refused_however_it_names_the_column() {
    for path in ["tenantId", "\"/tenantId\"", "\"/userSessionId\"", "startTime"] {
        let text = format!("dedup = \"1h\"\nprivacy_key = \"k\"\n[privacy]\n{path} = \"drop\"\n");
        let told = complaint(&text);
        assert!(told.contains("without which no document is compared"), "{told}");
    }
}
