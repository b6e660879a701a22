//! A frozen T5 that reads the instructions: what a checkpoint keeps of it, and when it is needed.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use rehearse_scenarios::seed::Seed;
use rehearse_world_model::ModelError;
use rehearse_world_model::checkpoint::{Storage, TrainingRecord, load, save};
use rehearse_world_model::config::ModelConfig;
use rehearse_world_model::experts::Residence;
use rehearse_world_model::model::WorldModel;
use rehearse_world_model::nn::Variables;
use rehearse_world_model::rollout::Dream;
use rehearse_world_model::t5::{Features, KnownT5, T5Source};
use rehearse_world_model::train::TrainConfig;

use crate::rig::{recipe, rig, run, write_log};

/// What the episodes of the log are told.
const MET: &str = "push the square";
const NEW: &str = "open the drawers";

fn fixture(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures")).join(name)
}

/// The recipe, with instructions read by a T5.
fn recipe_with(source: T5Source) -> TrainConfig {
    let mut recipe = recipe();
    recipe.model.instruction.t5 = Some(source);
    recipe
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        std::fs::copy(from.join(name), to.join(name)).unwrap();
    }
}

/// A checkpoint of an untrained model whose T5, of the fixture's width, has read one instruction.
fn checkpoint(folder: &Path) -> (PathBuf, ModelConfig) {
    let known = KnownT5 { digest: "0123".to_owned(), width: 16 };
    let config = recipe_with(T5Source::Known(known)).model;
    let variables = Variables::new(Seed::root(1));
    WorldModel::new(&config, &rig(), &variables.builder(&Device::Cpu, &[])).unwrap();
    let mut tensors = variables.tensors();
    let path = fixture("t5").join("features.safetensors");
    let mut features = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
    tensors.insert(Features::name(MET), features.remove(MET).unwrap());
    let path = folder.join("model.safetensors");
    let record = TrainingRecord::default();
    save(&path, &config, &rig(), &tensors, Storage::Bf16, record).unwrap();
    (path, config)
}

fn begin(model: &WorldModel, instruction: &str) -> Result<Dream, ModelError> {
    let first = Tensor::zeros((1, 4, 8), DType::F32, &Device::Cpu).unwrap();
    Dream::from_latents(model, &first, &[0.1, 0.2], instruction, Seed::root(2))
}

#[test]
fn instructions_that_training_met_need_no_t5_and_others_do() {
    let folder = tempfile::tempdir().unwrap();
    let (path, config) = checkpoint(folder.path());
    let (model, _) = load(&path, &Device::Cpu, Residence::All).unwrap();
    begin(&model, MET).unwrap();
    let error = begin(&model, NEW).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "training did not meet the instruction \"open the drawers\", and the T5 that could \
             read it (digest 0123) is not there: put its folder, or a link to it, at {}",
            path.with_extension("t5").display()
        )
    );
    // A fresh model, of no checkpoint, has nowhere to look.
    let vb = Variables::new(Seed::root(1)).builder(&Device::Cpu, &[]);
    let error = begin(&WorldModel::new(&config, &rig(), &vb).unwrap(), MET).unwrap_err();
    assert!(matches!(error, ModelError::Unread { folder: None, .. }), "{error}");
    // Features that are none of a T5 of that width.
    let wider = Variables::new(Seed::root(1));
    let odd = Tensor::zeros((4, 17), DType::F32, &Device::Cpu).unwrap();
    wider.assign(&[(Features::name(MET), odd)].into()).unwrap();
    let model = WorldModel::new(&config, &rig(), &wider.builder(&Device::Cpu, &[])).unwrap();
    let error = begin(&model, MET).unwrap_err().to_string();
    assert!(error.contains("[4, 17], expected 1 to 4 × 16"), "{error}");
}

#[test]
fn a_t5_that_was_not_trained_with_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = checkpoint(folder.path());
    copy(&fixture("t5"), &path.with_extension("t5"));
    let (model, _) = load(&path, &Device::Cpu, Residence::All).unwrap();
    let error = begin(&model, NEW).unwrap_err().to_string();
    if cfg!(feature = "t5") {
        assert!(error.contains("the model was trained with 0123"), "{error}");
    } else {
        assert!(error.contains("build it with `--features t5`"), "{error}");
    }
}

#[test]
fn a_recipe_names_a_folder_relative_to_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recipe.toml");
    let stages = "state = S\nbase = S\nspecialise = S\nrouter = S\njudge = S\n"
        .replace('S', "{ steps = 1, batch = 1, rate = 1e-3 }");
    let read = |t5: &str| {
        let text = format!("seed = 1\n{stages}[model]\ninstruction = {{ t5 = {t5} }}\n");
        std::fs::write(&path, text).unwrap();
        TrainConfig::read(&path)
    };
    let stated = read("\"../t5-small\"").unwrap().model.instruction.t5;
    assert_eq!(stated, Some(T5Source::Folder(folder.path().join("../t5-small"))));
    let error = read("5").unwrap_err().to_string();
    assert!(error.contains("the folder of a T5, in quotes"), "{error}");

    let log = folder.path().join("log");
    write_log(&log, 4);
    let train = |source| run(&recipe_with(source), &[&log], None, folder.path(), false);
    let known = KnownT5 { digest: "0123".to_owned(), width: 16 };
    let error = train(T5Source::Known(known)).unwrap_err().to_string();
    assert!(error.contains("must state the folder of the T5"), "{error}");
    let error = train(T5Source::Folder(folder.path().join("nowhere"))).unwrap_err().to_string();
    let expected =
        if cfg!(feature = "t5") { "config.json" } else { "build it with `--features t5`" };
    assert!(error.contains(expected), "{error}");
}

#[cfg(feature = "t5")]
mod with_t5 {
    use rehearse_world_model::t5::T5;

    use super::*;

    /// Largest error allowed, relative to the largest value.
    const TOLERANCE: f32 = 1e-4;

    fn flat(tensor: &Tensor) -> Vec<f32> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn features_are_those_of_transformers() {
        for name in ["t5", "t5-gated"] {
            let mut t5 = T5::open(&fixture(name)).unwrap();
            let path = fixture(name).join("features.safetensors");
            let truths = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
            assert_eq!(truths.len(), 5);
            for text in truths.keys().collect::<std::collections::BTreeSet<_>>() {
                let made = t5.features(text, 64).unwrap();
                assert_eq!(made.dims(), truths[text].dims(), "{name}: {text:?}");
                let (made, truth) = (flat(&made), flat(&truths[text]));
                let most = truth.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
                for (a, b) in made.iter().zip(&truth) {
                    assert!((a - b).abs() <= TOLERANCE * most, "{name}: {text:?}: {a}, not {b}");
                }
            }
        }
    }

    #[test]
    fn a_long_text_is_cut_before_its_end() {
        let mut t5 = T5::open(&fixture("t5")).unwrap();
        let whole = flat(&t5.features(MET, 64).unwrap());
        let cut = t5.features("push the square and then open it", 4).unwrap();
        assert_eq!(flat(&cut), whole);
        // Of one token, the end alone.
        assert_eq!(flat(&t5.features(MET, 1).unwrap()), flat(&t5.features("", 64).unwrap()));
    }

    #[test]
    fn training_keeps_what_the_t5_made_and_does_not_depend_on_where_it_lay() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        write_log(&log, 8);
        let [first, second, third, elsewhere] =
            ["1", "2", "3", "elsewhere"].map(|name| folder.path().join(name));
        copy(&fixture("t5-gated"), &elsewhere);
        let train = |t5: &Path, init: Option<&Path>, into: &Path| {
            run(&recipe_with(T5Source::Folder(t5.to_owned())), &[&log], init, into, false).unwrap()
        };
        let trained = train(&fixture("t5-gated"), None, &first);
        assert_eq!(train(&elsewhere, None, &second).manifest.digest, trained.manifest.digest);
        let mut t5 = T5::open(&elsewhere).unwrap();
        assert_eq!(
            trained.manifest.config.instruction.t5,
            Some(T5Source::Known(t5.known().clone()))
        );

        // Bit for bit, so that an instruction means the same whether it is kept or read again.
        let path = trained.checkpoint.as_path();
        let tensors = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
        assert_eq!(flat(&tensors[&Features::name(MET)]), flat(&t5.features(MET, 4).unwrap()));
        // The projections are learnt: from their start at the same seed, both moved.
        let start = Variables::new(Seed::root(3).child("weights"));
        let config = &trained.manifest.config;
        WorldModel::new(config, &rig(), &start.builder(&Device::Cpu, &[])).unwrap();
        let stored = |tensor: &Tensor| {
            flat(&tensor.to_dtype(DType::BF16).unwrap().to_dtype(DType::F32).unwrap())
        };
        for table in ["instruction.table", "state.scene.words.table"] {
            assert_eq!(tensors[table].dims(), [16, 8]);
            assert_ne!(stored(&tensors[table]), stored(&start.tensors()[table]), "{table}");
        }

        let (model, _) = load(path, &Device::Cpu, Residence::All).unwrap();
        let error = begin(&model, NEW).unwrap_err();
        assert!(matches!(error, ModelError::Unread { folder: Some(_), .. }), "{error}");
        copy(&elsewhere, &path.with_extension("t5"));
        // A T5 that is put there later is found.
        begin(&model, NEW).unwrap();
        // Each instruction is read alone: what else is asked for changes nothing.
        let device = Device::Cpu;
        let many = model.instruction.pooled(&[NEW, MET, "close it", NEW], &device).unwrap();
        for (row, text) in [NEW, MET, "close it"].into_iter().enumerate() {
            let alone = model.instruction.pooled(&[text], &device).unwrap();
            assert_eq!(flat(&alone), flat(&many.get(row).unwrap()), "{text}");
        }
        assert_ne!(flat(&many.get(0).unwrap()), flat(&many.get(1).unwrap()));

        // Another T5 starts everything anew that instructions reach.
        let other = train(&fixture("t5"), Some(path), &third);
        let other = candle_core::safetensors::load(&other.checkpoint, &device).unwrap();
        let mut t5 = T5::open(&fixture("t5")).unwrap();
        assert_eq!(flat(&other[&Features::name(MET)]), flat(&t5.features(MET, 4).unwrap()));
    }

    #[test]
    fn a_folder_that_holds_no_t5_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let broken = folder.path().join("t5");
        copy(&fixture("t5"), &broken);
        let refused = |name: &str, change: &dyn Fn(Vec<u8>) -> Vec<u8>, what: &str| {
            let path = broken.join(name);
            let sound = std::fs::read(&path).unwrap();
            std::fs::write(&path, change(sound.clone())).unwrap();
            let error = T5::open(&broken).unwrap_err();
            assert!(matches!(error, ModelError::T5 { .. }), "{error}");
            let error = error.to_string();
            assert!(error.contains(what) && error.contains(name), "{what}: {error}");
            std::fs::write(&path, sound).unwrap();
        };
        let replace = |from: &'static str, to: &'static str| {
            move |text: Vec<u8>| {
                let text = String::from_utf8(text).unwrap();
                assert!(text.contains(from), "{from}");
                text.replace(from, to).into_bytes()
            }
        };
        let layout = replace("\"model_type\": \"t5\"", "\"model_type\": \"umt5\"");
        refused("config.json", &layout, "model_type is \"umt5\"");
        let layer = replace("\"relu\"", "\"gelu\"");
        refused("config.json", &layer, "feed_forward_proj is \"gelu\"");
        let wide = replace("\"d_model\": 16", "\"d_model\": 0");
        refused("config.json", &wide, "d_model is 0");
        let few = replace(
            "\"relative_attention_num_buckets\": 8",
            "\"relative_attention_num_buckets\": 2",
        );
        refused("config.json", &few, "2 buckets");
        refused("config.json", &|_| b"{}".to_vec(), "missing field");
        refused("model.safetensors", &|bytes| bytes[..bytes.len() - 5].to_vec(), "");
        refused("tokenizer.json", &|_| b"{}".to_vec(), "");
        T5::open(&broken).unwrap();
    }
}
