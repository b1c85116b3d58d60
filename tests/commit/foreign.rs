//! Snapshots as other engines make them.

use std::collections::HashMap;
use std::sync::Arc;

use iceberg::io::FileIO;
use iceberg::spec::{
    DataFile, DataFileBuilder, FormatVersion, ManifestFile, ManifestList, ManifestListWriter,
    ManifestWriter, ManifestWriterBuilder, Operation, Snapshot, Summary,
};
use lakeward::store::files::Files;

use super::{TABLE_AT, meddle, newest};

/// Adds a manifest of delete files.
pub async fn delete(files: &Arc<dyn Files>, file: DataFile) {
    commit(files, Operation::Delete, |writer| (writer.build_v2_deletes(), vec![file]), true).await;
}

/// Adds a data file.
pub async fn append(files: &Arc<dyn Files>, file: DataFile) {
    commit(files, Operation::Append, |writer| (writer.build_v2_data(), vec![file]), true).await;
}

/// Lists the data files of a table anew, in one manifest, with the sizes of some columns only.
pub async fn rewrite_without_sizes(files: &Arc<dyn Files>, kept: &[i32]) {
    let memory = FileIO::new_with_memory();
    let mut listed = Vec::new();
    for manifest in manifests(files).await {
        let bytes = files.read(&manifest.manifest_path).await.unwrap().unwrap();
        memory.new_output(&manifest.manifest_path).unwrap().write(bytes).await.unwrap();
        let entries = manifest.load_manifest(&memory).await.unwrap();
        listed.extend(entries.entries().iter().map(|it| without_sizes(it.data_file(), kept)));
    }
    commit(files, Operation::Replace, |writer| (writer.build_v2_data(), listed), false).await;
}

fn without_sizes(file: &DataFile, kept: &[i32]) -> DataFile {
    let sizes: HashMap<i32, u64> = file
        .column_sizes()
        .iter()
        .filter(|(id, _)| kept.contains(id))
        .map(|(a, b)| (*a, *b))
        .collect();
    DataFileBuilder::default()
        .content(file.content_type())
        .file_path(file.file_path().to_owned())
        .file_format(file.file_format())
        .partition(file.partition().clone())
        .partition_spec_id(0)
        .record_count(file.record_count())
        .file_size_in_bytes(file.file_size_in_bytes())
        .column_sizes(sizes)
        .build()
        .unwrap()
}

/// The manifests of a table's head.
pub async fn manifests(files: &Arc<dyn Files>) -> Vec<ManifestFile> {
    let head = newest(files, TABLE_AT).await;
    let list = head.current_snapshot().unwrap().manifest_list().to_owned();
    let bytes = files.read(&list).await.unwrap().unwrap();
    let list = ManifestList::parse_with_version(&bytes, FormatVersion::V2).unwrap();
    list.consume_entries().into_iter().collect()
}

async fn commit(
    files: &Arc<dyn Files>,
    operation: Operation,
    added: impl FnOnce(ManifestWriterBuilder) -> (ManifestWriter, Vec<DataFile>),
    keeps_others: bool,
) {
    let metadata = newest(files, TABLE_AT).await;
    let (schema, spec) = (metadata.current_schema(), metadata.default_partition_spec());
    let parent = metadata.current_snapshot().unwrap().snapshot_id();
    let (id, sequence) = (parent / 2, metadata.next_sequence_number());
    let memory = FileIO::new_with_memory();
    let manifest_at = format!("{TABLE_AT}/metadata/{id}-m0.avro");
    let list_at = format!("{TABLE_AT}/metadata/{id}-list.avro");
    let output = memory.new_output(&manifest_at).unwrap();
    let builder =
        ManifestWriterBuilder::new(output, Some(id), Arc::clone(schema), (**spec).clone());
    let (mut writer, added) = added(builder);
    added.into_iter().for_each(|it| writer.add_file(it, -1).unwrap());
    let manifest = writer.write_manifest_file().await.unwrap();
    let others = if keeps_others { manifests(files).await } else { Vec::new() };
    let output = memory.new_output(&list_at).unwrap().writer().await.unwrap();
    let mut writer = ManifestListWriter::v2(output, id, Some(parent), sequence);
    writer.add_manifests(others.into_iter().chain([manifest])).unwrap();
    writer.close().await.unwrap();
    for at in [&manifest_at, &list_at] {
        let bytes = memory.new_input(at).unwrap().read().await.unwrap();
        files.write(at, bytes).await.unwrap();
    }
    let snapshot = Snapshot::builder()
        .with_snapshot_id(id)
        .with_parent_snapshot_id(Some(parent))
        .with_sequence_number(sequence)
        .with_timestamp_ms(metadata.last_updated_ms())
        .with_manifest_list(list_at)
        .with_schema_id(metadata.current_schema_id())
        .with_summary(Summary { operation, additional_properties: [].into() })
        .build();
    meddle(files, TABLE_AT, |_, builder| builder.set_branch_snapshot(snapshot, "main").unwrap())
        .await;
}
