//! The sizes of a model's tensors, and the products that follow from them.

use rehearse_world_model::conditions::condition_values;
use rehearse_world_model::model::WorldModel;
use rehearse_world_model::router::pending_values;
use rehearse_world_model::statistics::motion_channels;

use crate::Outcome;
use crate::cost::Cost;
use crate::stage::Stage;

/// Waves that a noise level is written in, cosines and sines.
const WAVES: usize = 64;
/// Rounds of an update by Muon.
const NEWTON_SCHULZ_ROUNDS: usize = 5;
/// Chunk lengths that the router chooses from.
const LENGTHS: usize = 4;

/// Sizes of a model at work on `batch` trials with chunks of `frames`.
#[derive(Clone, Copy)]
pub struct Sizes {
    pub batch: usize,
    pub frames: usize,
    pub patches: usize,
    pub coefficients: usize,
    /// Values of a patch's pixels.
    pub values: usize,
    pub pack: usize,
    /// Values of a token.
    pub token: usize,
    /// Frame groups of the context, the first frame's among them.
    pub known: usize,
    pub states: usize,
    pub actions: usize,
    /// Values that a frame group is conditioned on.
    pub conditions: usize,
    /// Values that describe a pending base chunk.
    pub pending: usize,
    /// Vectors of an instruction.
    pub words: usize,
    pub instruction: usize,
    pub width: usize,
    /// Width of a block's hidden layer.
    pub hidden: usize,
    pub layers: usize,
    pub condition: usize,
    pub steps: usize,
    pub memory: usize,
    pub scene: usize,
    pub foreseen: usize,
    pub router: usize,
    pub judge: usize,
}

impl Sizes {
    pub fn new(model: &WorldModel, batch: usize, frames: usize) -> Outcome<Self> {
        let (config, rig) = (&model.config, &model.embodiment);
        let (states, actions) = (rig.proprioception.len(), rig.actions.len());
        let (pack, coefficients) = (config.tokens.pack, config.tokens.coefficients);
        if !frames.is_multiple_of(pack) {
            return Err(format!("{frames} frames are not whole tokens of {pack}").into());
        }
        Ok(Self {
            batch,
            frames,
            patches: model.tokenizer.patches(),
            coefficients,
            values: model.tokenizer.layout().values(),
            pack,
            token: pack * coefficients,
            known: 1 + config.expert.context / pack,
            states,
            actions,
            conditions: condition_values(pack, actions, states),
            pending: pending_values(actions, states, motion_channels(rig).len()),
            words: config.instruction.words + 1,
            instruction: config.instruction.width,
            width: config.expert.width,
            hidden: config.expert.expansion * config.expert.width,
            layers: config.expert.layers,
            condition: config.expert.condition,
            steps: config.flow.steps,
            memory: config.state.width,
            scene: config.state.scene,
            foreseen: config.state.forecast,
            router: config.router.width,
            judge: config.judge.width,
        })
    }

    /// Frame groups of a chunk.
    pub fn groups(self) -> usize {
        self.frames / self.pack
    }

    /// Tokens of all trials' chunks.
    pub fn tokens(self) -> usize {
        self.batch * self.groups() * self.patches
    }

    /// What a stage must do at least; of the product alone once.
    pub fn cost(self, stage: Stage) -> Cost {
        let Self { batch, patches, coefficients, width, condition, .. } = self;
        let (frames, tokens, known) = (batch * self.frames, self.tokens(), batch * self.known);
        match stage {
            Stage::Tokenize | Stage::Decode => {
                Cost::product([frames, self.values, coefficients]) * patches
            }
            Stage::State => {
                let (memory, seen) = (self.memory, self.memory + self.scene);
                let read = 2 * self.states + self.actions + self.scene;
                Cost::products([
                    [frames, read, 3 * memory],
                    [frames, memory, 3 * memory],
                    [frames, self.states, 3 * memory],
                    [frames, memory, self.states],
                ]) + self.if_foreseen([
                    [frames, seen, seen],
                    [frames, seen, patches * self.foreseen + 1],
                ])
            }
            Stage::Context => {
                let whole = self.block(self.known, self.words + self.known * patches);
                let embedded = Cost::products([
                    [batch * patches, coefficients, width],
                    [(known - batch) * patches, self.token, width],
                    [known, self.conditions, condition],
                    [batch, WAVES, condition],
                    [known, condition, condition],
                    [batch * patches, coefficients, width],
                    [batch * self.groups(), self.conditions, condition],
                ]) + self.if_foreseen([[tokens, self.pack * self.foreseen, width]]);
                let words = Cost::product([batch * self.words, self.instruction, 2 * width]);
                let last = self.own_tokens(self.known);
                embedded + words * self.layers + whole * (self.layers - 1) + last
            }
            Stage::FlowStep => {
                let groups = batch * self.groups();
                let seen = self.words + (self.known + self.groups()) * patches;
                let ends = Cost::products([
                    [batch, WAVES, condition],
                    [groups, condition, condition],
                    [tokens, self.token, width],
                    [groups, condition, 2 * width],
                    [tokens, width, self.token],
                ]);
                ends + self.block(self.groups(), seen) * self.layers
            }
            Stage::Judge => Cost::products([
                [frames, 2 * patches * coefficients, self.judge],
                [frames, 2 * self.states, self.judge],
                [frames, self.instruction, self.judge],
                [frames, self.judge, self.judge],
                [frames, self.judge, 1],
            ]),
            Stage::Router => {
                let (router, queries) = (self.router, batch * LENGTHS);
                let seen = LENGTHS + patches + self.words;
                Cost::products([
                    [queries, self.pending, router],
                    [batch * patches, coefficients, router],
                    [batch * self.words, self.instruction, router],
                    [batch * seen, router, 2 * router],
                    [queries, router, router],
                    [queries, router, router],
                    [queries, router, 4 * router],
                    [queries, 4 * router, router],
                    [batch, LENGTHS * router, LENGTHS],
                ]) + Cost::products([[LENGTHS, router, seen], [LENGTHS, seen, router]]) * batch
            }
            Stage::Rollout => {
                let parts = [Stage::State, Stage::Context, Stage::Judge, Stage::Decode];
                let parts = parts.into_iter().map(|stage| self.cost(stage)).sum::<Cost>();
                parts + self.cost(Stage::FlowStep) * self.steps
            }
            // Backward, each product is two: into its operands.
            Stage::Training => {
                (self.cost(Stage::Context) + self.cost(Stage::FlowStep)) * 3 + self.muon()
            }
            Stage::StateTraining => self.cost(Stage::State) * 3,
            Stage::Product => Cost::product([tokens, width, self.hidden]),
        }
    }

    /// A block over `groups` frame groups of each trial, whose tokens attend to `seen` keys.
    fn block(self, groups: usize, seen: usize) -> Cost {
        let Self { batch, patches, width, hidden, .. } = self;
        let own = groups * patches;
        let tokens = batch * own;
        let attention = Cost::products([[own, width, seen], [own, seen, width]]) * batch;
        let maps = [[tokens, width, width], [tokens, width, hidden], [tokens, hidden, width]];
        self.own_tokens(groups) + attention + Cost::products(maps)
    }

    /// A block's modulation, queries, keys and values.
    fn own_tokens(self, groups: usize) -> Cost {
        let Self { batch, patches, width, condition, .. } = self;
        Cost::products([
            [batch * groups, condition, 6 * width],
            [batch * groups * patches, width, 3 * width],
        ])
    }

    /// The optimiser's Newton–Schulz rounds over the blocks' hidden matrices.
    fn muon(self) -> Cost {
        let Self { width, hidden, layers, .. } = self;
        let round = [3 * width, width, hidden, hidden].into_iter().map(|long| {
            Cost::products([[width, long, width], [width, width, width], [width, width, long]])
        });
        round.sum::<Cost>() * (NEWTON_SCHULZ_ROUNDS * layers)
    }

    fn if_foreseen<const N: usize>(self, products: [[usize; 3]; N]) -> Cost {
        if self.foreseen > 0 { Cost::products(products) } else { Cost::default() }
    }
}
