//! Trial tables: ten million rows counted from Parquet, and a table read whole.

use std::fs::File;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use criterion::{Criterion, Throughput};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use rehearse_scoring::trial::{Limits, read, summarise};

const ROWS: usize = 10_000_000;
const WHOLE: usize = 200_000;
const GROUP: usize = 1 << 20;

/// 50 policies on 20 tasks, four outcomes, by a fixed pattern that no encoding can shorten much.
fn write(path: &Path, rows: usize) -> Result<(), Box<dyn std::error::Error>> {
    let pick = |start: usize, count: usize, salt: u64, names: &[String]| -> ArrayRef {
        let name = |row: usize| {
            let mixed = (row as u64 ^ salt).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
            names[mixed as usize % names.len()].as_str()
        };
        Arc::new(StringArray::from_iter_values((start..start + count).map(name)))
    };
    let named = |prefix: &str, count: u32| -> Vec<String> {
        (0..count).map(|i| format!("{prefix}-{i}")).collect()
    };
    let (policies, tasks) = (named("policy", 50), named("task", 20));
    let scenarios = named("scenario", 500);
    let outcomes = ["success", "failure", "success", "void", "failure", "unsure"].map(String::from);
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .build();
    let mut writer = None;
    for start in (0..rows).step_by(GROUP) {
        let count = GROUP.min(rows - start);
        let batch = RecordBatch::try_from_iter([
            ("policy", pick(start, count, 1, &policies)),
            ("task", pick(start, count, 2 << 20, &tasks)),
            ("scenario", pick(start, count, 3 << 30, &scenarios)),
            (
                "repeat",
                Arc::new(Int64Array::from_iter_values(start as i64..(start + count) as i64)),
            ),
            ("outcome", pick(start, count, 5 << 40, &outcomes)),
        ])?;
        let writer = match &mut writer {
            Some(writer) => writer,
            none => none.insert(ArrowWriter::try_new(
                File::create(path)?,
                batch.schema(),
                Some(properties.clone()),
            )?),
        };
        writer.write(&batch)?;
        writer.flush()?;
    }
    if let Some(writer) = writer {
        writer.close()?;
    }
    Ok(())
}

/// Registers this topic's benchmarks.
pub fn benches(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let large = folder.path().join("large.parquet");
    let small = folder.path().join("small.parquet");
    write(&large, ROWS).expect("a writable temporary folder");
    write(&small, WHOLE).expect("a writable temporary folder");
    let mut group = criterion.benchmark_group("trial_table");
    group.sample_size(10);
    group.throughput(Throughput::Elements(ROWS as u64));
    group.bench_function("summarise/parquet/10M", |bencher| {
        bencher.iter(|| summarise(black_box(&large), &Limits::default()).map(|s| s.cells.len()));
    });
    group.throughput(Throughput::Elements(WHOLE as u64));
    group.bench_function("read/parquet/200k", |bencher| {
        bencher.iter(|| read(black_box(&small), &Limits::default()).map(|r| r.table.tasks().len()));
    });
    group.finish();
}
