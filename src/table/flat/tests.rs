use super::*;

fn parent() -> Spec {
    let schema = TableSchema::builtin("user_sessions").unwrap();
    let partition = Template::parse("date={startTime:%Y-%m-%d}", &schema).unwrap();
    Spec::new("user_sessions", schema, partition)
}

fn names(spec: &Spec) -> Vec<&str> {
    spec.schema.fields.iter().map(|field| field.name.as_str()).collect()
}

#[test]
fn flat_tables_of_the_built_in_schema_have_the_documented_columns() {
    let parent = parent();
    let specs = Flat::ALL.map(|flat| flat.spec(&parent, FLAT_COLUMNS).unwrap());
    let tables = specs.each_ref().map(|spec| &*spec.name);
    assert_eq!(tables, ["user_actions", "user_events", "user_errors", "user_properties"]);
    for (flat, spec) in Flat::ALL.iter().zip(&specs) {
        let names = names(spec);
        assert_eq!(names[..4], ["tenantId", "userSessionId", "partNumber", "sessionStartTime"]);
        assert_eq!(names[20], "sessionHasError");
        assert_eq!(spec.schema.name, *spec.name);
        assert!(spec.rows.is_derived());
        if let Some(list) = flat.list() {
            assert_eq!(names[21], "position");
            let fields = element(&parent.schema, list).unwrap();
            let own: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
            assert_eq!(names[22..], own);
            for (field, of) in spec.schema.fields[22..].iter().zip(fields) {
                assert_eq!((field.kind.arrow(), &field.doc), (of.kind.arrow(), &of.doc));
            }
        }
    }
    assert_eq!(
        names(&specs[3])[21..],
        [
            "level",
            "actionPosition",
            "actionName",
            "type",
            "position",
            "key",
            "stringValue",
            "longValue",
            "doubleValue",
            "dateValue",
        ]
    );
}

#[test]
fn docs_and_bloom_filters_are_those_of_the_session() {
    let parent = parent();
    let actions = Flat::Actions.spec(&parent, FLAT_COLUMNS).unwrap();
    let field = |schema: &TableSchema, name: &str| {
        schema.fields.iter().find(|field| field.name == name).unwrap().clone()
    };
    for (own, flat) in [("userSessionId", "userSessionId"), ("country", "sessionCountry")] {
        let (own, flat) = (field(&parent.schema, own), field(&actions.schema, flat));
        assert_eq!((own.doc, own.kind, own.bloom), (flat.doc, flat.kind, flat.bloom));
        assert!(flat.aliases.is_empty());
    }
}

#[test]
fn partitions_are_by_the_elements_own_time_where_it_has_one_and_else_the_sessions() {
    let template = |flat: Flat, text: &str| {
        let schema = TableSchema::builtin("user_sessions").unwrap();
        let partition = Template::parse(text, &schema).unwrap();
        let parent = Spec::new("user_sessions", schema, partition);
        let spec = flat.spec(&parent, &["country"]).unwrap();
        let again = Template::parse(spec.partition.as_str(), &spec.schema).unwrap();
        assert_eq!(again, spec.partition);
        spec.partition.as_str().to_owned()
    };
    let day = "date={startTime:%Y-%m-%d}";
    assert_eq!(template(Flat::Actions, day), day);
    assert_eq!(template(Flat::Events, day), day);
    assert_eq!(template(Flat::Properties, day), "date={sessionStartTime:%Y-%m-%d}");
    let tenant = "tenant=t-{tenantId}/os={osFamily}/m={replayEnd:%Y/%m}";
    let flat = "tenant=t-{tenantId}/os={sessionOsFamily}/m={sessionReplayEnd:%Y/%m}";
    assert_eq!(template(Flat::Errors, tenant), flat);
    assert_eq!(template(Flat::Errors, ""), "");
}

#[test]
fn flat_tables_of_other_parents_begin_with_their_names() {
    let parent = Spec { name: "eu".into(), ..parent() };
    let spec = Flat::Errors.spec(&parent, &[]).unwrap();
    assert_eq!((&*spec.name, spec.schema.name.as_str()), ("eu_errors", "eu_errors"));
    assert_eq!(
        names(&spec)[..5],
        ["tenantId", "userSessionId", "partNumber", "sessionStartTime", "position"]
    );
    assert_eq!(spec.rows, Rows::Exploded { parent: "eu".into(), column: "errors".into() });
}

#[test]
fn a_parent_without_the_list_has_no_such_table() {
    let avsc = r#"{"type": "record", "name": "orders", "fields": [
        {"name": "userActions", "type": {"type": "array", "items": "string"}},
        {"name": "stringProperties", "type": {"type": "array", "items": {"type": "record",
            "name": "P", "fields": [{"name": "key", "type": "string"}, {"name": "value", "type": "long"}]}}}]}"#;
    let parent =
        Spec::new("orders", Arc::new(TableSchema::parse(avsc).unwrap()), Template::default());
    for flat in Flat::ALL {
        let why = flat.spec(&parent, FLAT_COLUMNS).unwrap_err();
        assert!(why.contains("orders has no list of records"), "{why}");
    }
}

#[test]
fn a_field_with_the_name_of_a_column_is_refused_by_name() {
    let avsc = r#"{"type": "record", "name": "orders", "fields": [
        {"name": "errors", "type": {"type": "array", "items": {"type": "record",
            "name": "E", "fields": [{"name": "Position", "type": "string"}]}}}]}"#;
    let parent =
        Spec::new("orders", Arc::new(TableSchema::parse(avsc).unwrap()), Template::default());
    let why = Flat::Errors.spec(&parent, &[]).unwrap_err();
    assert!(why.contains("orders_errors.Position") && why.contains("only in case"), "{why}");
}

#[test]
fn columns_of_the_session_that_are_no_single_values_are_left_out() {
    let columns = &["userActions", "stringTags", "gone", "country", "country", "tenantId"];
    let spec = Flat::Errors.spec(&parent(), columns).unwrap();
    assert_eq!(names(&spec)[3..6], ["sessionStartTime", "sessionCountry", "position"]);
}
