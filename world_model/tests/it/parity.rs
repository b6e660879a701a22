//! The same weights, the same inputs, the same numbers as the PyTorch twin.
//!
//! `tools/gen_parity.py` computes in double precision; what is left is the rounding of f32 over
//! two blocks, and over a rollout of 53 steps whose errors add up.

use std::collections::{BTreeMap, HashMap};

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use rehearse_scenarios::embodiment::Embodiment;
use rehearse_scenarios::seed::Seed;
use rehearse_scenarios::testing::sample_rig;
use rehearse_world_model::config::{FlowConfig, ModelConfig};
use rehearse_world_model::expert::{ContextInput, Expert};
use rehearse_world_model::flow;
use rehearse_world_model::instruction::InstructionEncoder;
use rehearse_world_model::judge::JudgeInput;
use rehearse_world_model::model::{WorldModel, expert_shape};
use rehearse_world_model::nn::{Block, Cache, Variables, ops};
use rehearse_world_model::rollout::Dream;
use rehearse_world_model::routing::Routing;

/// Largest error allowed, relative to the largest value of the array.
const TOLERANCE: f32 = 1e-4;

struct Fixture(HashMap<String, Tensor>);

impl Fixture {
    fn read() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/parity.safetensors");
        Self(candle_core::safetensors::load(path, &Device::Cpu).unwrap())
    }

    fn weights(&self) -> VarBuilder<'static> {
        let weights = self.0.iter().filter_map(|(name, tensor)| {
            Some((name.strip_prefix("weights/")?.to_owned(), tensor.clone()))
        });
        VarBuilder::from_tensors(weights.collect(), DType::F32, &Device::Cpu)
    }

    fn case(&self, name: &str) -> &Tensor {
        &self.0[&format!("case/{name}")]
    }

    fn check(&self, name: &str, got: &Tensor) {
        let truth = self.case(name);
        assert_eq!(got.elem_count(), truth.elem_count(), "{name}");
        let flat = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let (got, truth) = (flat(got), flat(truth));
        let most = truth.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        let (index, error) = got
            .iter()
            .zip(&truth)
            .map(|(a, b)| (a - b).abs())
            .enumerate()
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .unwrap();
        assert!(
            error <= TOLERANCE * most,
            "{name}: error {error} at {index}, {} against {}, largest {most}",
            got[index],
            truth[index]
        );
    }
}

fn config() -> ModelConfig {
    toml::from_str(
        "[tokens]\nheight = 4\nwidth = 8\npatch = 4\ncoefficients = 6\n\
         [expert]\nwidth = 32\nlayers = 2\nheads = 4\ncondition = 16\n\
         [flow]\ntemperature = 0.0\ncontext_noise = 0.0\n\
         [instruction]\nwidth = 8\nwords = 3\nbuckets = 32\n\
         [state]\nwidth = 16\nview = 24\nscene = 8\nforecast = 3\n[router]\nwidth = 16\nheads = 2\n[judge]\nwidth = 16",
    )
    .unwrap()
}

fn model(fixture: &Fixture) -> (WorldModel, Embodiment) {
    let rig = sample_rig();
    (WorldModel::new(&config(), &rig, &fixture.weights()).unwrap(), rig)
}

#[test]
fn the_fixture_names_every_tensor_of_the_model() {
    let variables = Variables::new(Seed::root(0));
    let vb = variables.builder(&Device::Cpu, &[]);
    WorldModel::new(&config(), &sample_rig(), &vb).unwrap();
    let shapes: BTreeMap<String, Vec<usize>> = variables
        .tensors()
        .into_iter()
        .map(|(name, tensor)| (name, tensor.dims().to_vec()))
        .collect();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/parity_shapes.json");
    let stored = std::fs::read_to_string(path).unwrap_or_default();
    let stored: BTreeMap<String, Vec<usize>> = serde_json::from_str(&stored).unwrap_or_default();
    assert_eq!(stored, shapes, "should be {}", serde_json::to_string(&shapes).unwrap());
}

#[test]
fn attention_and_block_equal_the_twin() {
    let fixture = Fixture::read();
    let case = |name: &str| fixture.case(name);
    let out = ops::attention(case("attention.q"), case("attention.k"), case("attention.v"), 4);
    fixture.check("attention.out", &out.unwrap());
    let vb = fixture.weights().pp("experts.0.blocks.1");
    let block = Block::new(32, 4, 4, 16, &vb).unwrap();
    let cache = Cache { k: case("block.k").clone(), v: case("block.v").clone() };
    let modulation = block.modulation(case("block.condition")).unwrap();
    let (out, own) = block.forward(case("block.x"), &modulation, &cache).unwrap();
    fixture.check("block.out", &out);
    let own = own.cache().unwrap();
    fixture.check("block.own_k", &own.k);
    fixture.check("block.own_v", &own.v);
}

#[test]
fn a_flow_step_and_a_whole_flow_equal_the_twin() {
    let fixture = Fixture::read();
    let case = |name: &str| fixture.case(name).clone();
    let (model, rig) = model(&fixture);
    let words = model.instruction.encode("Open the drawer", &Device::Cpu).unwrap();
    fixture.check("instruction.out", &words);
    let shape = expert_shape(&config(), &rig).unwrap();
    let expert = Expert::new(shape, &fixture.weights().pp("experts.1")).unwrap();
    let input = ContextInput {
        first: case("flow.first"),
        recent: case("flow.recent"),
        last: case("flow.last"),
        conditions: case("flow.known"),
        instruction: Tensor::stack(&[&words, &words], 0).unwrap(),
    };
    let context =
        expert.context(&input, &case("flow.chunk"), Some(&case("flow.foreseen"))).unwrap();
    let velocity = expert.velocity(&case("flow.noise"), &case("flow.k"), &context).unwrap();
    fixture.check("flow.velocity", &velocity);
    let points = flow::schedule(&FlowConfig::default());
    let end = flow::integrate(case("flow.noise"), &points, |x, k| {
        expert.velocity(x, &Tensor::full(k as f32, 2, &Device::Cpu)?, &context)
    });
    fixture.check("flow.end", &end.unwrap());
}

#[test]
fn cached_context_equals_context_that_is_computed_anew_in_every_step() {
    let fixture = Fixture::read();
    let case = |name: &str| fixture.case(name).clone();
    let (_, rig) = model(&fixture);
    let shape = expert_shape(&config(), &rig).unwrap();
    let expert = Expert::new(shape, &fixture.weights().pp("experts.1")).unwrap();
    let words = Tensor::zeros((2, 4, 8), DType::F32, &Device::Cpu).unwrap();
    let input = ContextInput {
        first: case("flow.first"),
        recent: case("flow.recent"),
        last: case("flow.last"),
        conditions: case("flow.known"),
        instruction: words,
    };
    let foreseen = case("flow.foreseen");
    let points = flow::schedule(&FlowConfig::default());
    let run = |cached: bool| {
        let once =
            expert.context(&input, &case("flow.chunk"), Some(&case("flow.foreseen"))).unwrap();
        let end = flow::integrate(case("flow.noise"), &points, |x, k| {
            let k = Tensor::full(k as f32, 2, &Device::Cpu)?;
            if cached {
                expert.velocity(x, &k, &once)
            } else {
                expert.velocity(
                    x,
                    &k,
                    &expert.context(&input, &case("flow.chunk"), Some(&foreseen))?,
                )
            }
        });
        end.unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    assert_eq!(run(true), run(false));
}

#[test]
fn router_and_judge_equal_the_twin() {
    let fixture = Fixture::read();
    let case = |name: &str| fixture.case(name);
    let (model, _) = model(&fixture);
    let words = model.instruction.encode("Open the drawer", &Device::Cpu).unwrap();
    let words = Tensor::stack(&[&words, &words], 0).unwrap();
    let scores = model.router.forward(case("router.last"), &words, case("router.pending"));
    fixture.check("router.out", &scores.unwrap());
    let input = JudgeInput {
        frame: case("judge.frame"),
        first: case("flow.first"),
        state: case("judge.state"),
        first_state: &case("judge.state").zeros_like().unwrap(),
        instruction: &InstructionEncoder::pool(&words).unwrap(),
    };
    fixture.check("judge.out", &model.judge.probability(&input, None).unwrap());
}

#[test]
fn a_whole_rollout_equals_the_twin() {
    let fixture = Fixture::read();
    let flat = |name: &str| fixture.case(name).flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let (model, _) = model(&fixture);
    let first = fixture.case("rollout.first");
    let state = flat("rollout.state");
    let mut dream =
        Dream::from_latents(&model, first, &state, "Open the drawer", Seed::root(0)).unwrap();
    let actions = flat("rollout.actions");
    let imagined =
        model.imagine(vec![(&mut dream, actions.as_slice())], Routing::Learned).unwrap().remove(0);
    let experts = imagined.segments.iter().map(|segment| segment.expert.unwrap() as f32);
    assert_eq!(experts.collect::<Vec<_>>(), flat("rollout.experts"));
    fixture.check("rollout.states", &imagined.states);
    fixture.check("rollout.latents", &imagined.latents);
    let success = Tensor::new(imagined.success.as_slice(), &Device::Cpu).unwrap();
    fixture.check("rollout.success", &success);
}
