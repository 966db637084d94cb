use super::*;

#[test]
fn every_built_in_schema_parses_under_its_own_name() {
    for name in BUILTIN {
        let schema = TableSchema::builtin(name).expect(name);
        assert_eq!(schema.name, *name);
        assert_eq!(schema.arrow().fields().len(), schema.fields.len() + 3);
    }
}
