//! Objects of the lake by their addresses.

use std::collections::BTreeSet;

use futures::TryStreamExt as _;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore as _, ObjectStoreExt as _};
use serde_json::Value as Json;

use crate::commit::iceberg::manifest::{self, Entry};
use crate::commit::iceberg::manifest_list::{self, ManifestFile};

/// Returns the name of an object in the bucket.
pub(super) fn key(address: &str) -> Path {
    Path::from(address.strip_prefix("s3://bucket/").expect("an address in the bucket"))
}

fn bytes(objects: &InMemory, address: &str) -> Vec<u8> {
    let got = async { objects.get(&key(address)).await?.bytes().await };
    futures::executor::block_on(got).expect("an object that is named is there").to_vec()
}

/// Returns the names of all objects.
pub(super) fn names(objects: &InMemory) -> BTreeSet<String> {
    let listed = objects.list(None).map_ok(|object| object.location.to_string());
    futures::executor::block_on(listed.try_collect()).expect("memory")
}

pub(super) fn put(objects: &InMemory, address: &str, bytes: Vec<u8>) {
    let path = key(address);
    let put = objects.put_opts(&path, bytes.into(), Default::default());
    futures::executor::block_on(put).expect("memory");
}

pub(super) fn delete(objects: &InMemory, address: &str) {
    futures::executor::block_on(objects.delete(&key(address))).expect("memory");
}

/// Reads the manifests of the list at `address`.
pub(super) fn manifests(objects: &InMemory, address: &Json) -> Vec<ManifestFile> {
    let address = address.as_str().expect("an address");
    manifest_list::read(&bytes(objects, address)).expect("a list")
}

/// Reads the files of a manifest, which has as many as the list says.
pub(super) fn entries(objects: &InMemory, listed: &ManifestFile) -> Vec<Entry> {
    let bytes = bytes(objects, &listed.path);
    assert_eq!(bytes.len() as i64, listed.length);
    let entries = manifest::read(&bytes).expect("a manifest");
    assert_eq!(entries.len() as i64, listed.files[0] + listed.files[1]);
    let rows: u64 = entries.iter().map(|entry| entry.rows).sum();
    assert_eq!(rows as i64, listed.rows[0] + listed.rows[1]);
    entries
}
