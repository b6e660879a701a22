"""Writes tests/fixtures/t5 and tests/fixtures/t5-gated: a random T5 each, of two layers and width
16, as Hugging Face lays one out (config.json, model.safetensors, tokenizer.json), and in
features.safetensors what `transformers` makes of some instructions, by instruction.

    pip install torch transformers==4.57.6 tokenizers==0.22.2
    python world_model/tools/gen_t5.py
"""

import json
import pathlib

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.models import Unigram
from tokenizers.pre_tokenizers import Metaspace
from tokenizers.processors import TemplateProcessing
from transformers import T5Config, T5EncoderModel

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "tests" / "fixtures"

WORDS = ["open", "close", "the", "drawer", "push", "square", "button", "press", "and", "then"]
# What config.json states on Hugging Face; the rest are the library's own defaults.
STATED = """
    architectures d_ff d_kv d_model decoder_start_token_id dropout_rate eos_token_id
    feed_forward_proj initializer_factor is_encoder_decoder layer_norm_epsilon model_type
    num_decoder_layers num_heads num_layers pad_token_id relative_attention_max_distance
    relative_attention_num_buckets tie_word_embeddings use_cache vocab_size
""".split()

# The last is longer than the exact distances between tokens and than the farthest one that counts.
INSTRUCTIONS = [
    "",
    "push the square",
    "open the drawers",
    "press the Button, then close it",
    " ".join(WORDS * 3),
]


def tokenizer():
    whole = [("▁" + word, -3.0) for word in WORDS]
    letters = [(letter, -8.0) for letter in "▁abcdefghijklmnopqrstuvwxyz,"]
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    made = Tokenizer(Unigram(special + whole + letters, unk_id=2, byte_fallback=False))
    made.pre_tokenizer = Metaspace(replacement="▁", prepend_scheme="always")
    made.post_processor = TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    made.add_special_tokens(["<pad>", "</s>", "<unk>"])
    return made


def write(name, projection):
    torch.manual_seed(3)
    words = tokenizer()
    config = T5Config(
        vocab_size=words.get_vocab_size(), d_model=16, d_kv=8, d_ff=24, num_layers=2, num_heads=2,
        relative_attention_num_buckets=8, relative_attention_max_distance=16,
        feed_forward_proj=projection,
    )
    model = T5EncoderModel(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            # Large enough for attention to choose.
            draw = torch.randn_like(weight) / weight.shape[-1] ** 0.5
            weight.copy_(draw if weight.dim() > 1 else 0.5 + torch.rand_like(weight))
        ids = {text: words.encode(text).ids for text in INSTRUCTIONS}
        double = T5EncoderModel(config).eval().double()
        double.load_state_dict(model.state_dict())
        features = {
            text: double(torch.tensor([each])).last_hidden_state[0].float().contiguous()
            for text, each in ids.items()
        }
    folder = FIXTURES / name
    folder.mkdir(exist_ok=True)
    stated = config.to_dict() | {"architectures": ["T5EncoderModel"], "is_encoder_decoder": True}
    stated = {key: stated[key] for key in STATED if stated.get(key) is not None}
    (folder / "config.json").write_text(json.dumps(stated, indent=2) + "\n")
    words.save(str(folder / "tokenizer.json"), pretty=False)
    tensors = {key: value.clone() for key, value in model.state_dict().items()}
    tensors.pop("encoder.embed_tokens.weight")  # the same as shared.weight
    save_file(tensors, folder / "model.safetensors")
    save_file(features, folder / "features.safetensors")
    for written in folder.iterdir():
        written.chmod(0o644)


write("t5", "relu")
write("t5-gated", "gated-gelu")
