"""Makes the tiny encoders and the expected vectors and scores under embeddings/. See README.md.

usage: make-embeddings.py [name ...]      (no name: all of them; the goldens that some use must be there)
"""

import importlib.util
import json
import math
import shutil
import sys
import types
import zlib
from importlib.metadata import version
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten, tree_unflatten
from mlx_lm.utils import load_model, quantize_model, save_config, save_model

HERE = Path(__file__).parent
LENGTHS = (2, 5, 12, 33, 40)


def bert_module():
    """The package's bert.py alone: its command line wants a good many packages more."""
    if "mlx_embeddings" in sys.modules:
        return sys.modules["mlx_embeddings.models.bert"]
    root = Path(importlib.util.find_spec("mlx_embeddings").origin).parent
    for name in ("mlx_embeddings", "mlx_embeddings.models"):
        package = types.ModuleType(name)
        package.__path__ = [str(root.joinpath(*name.split(".")[1:]))]
        sys.modules[name] = package
    return importlib.import_module("mlx_embeddings.models.bert")


def bert(**more):
    return {
        "architectures": ["BertModel"],
        "attention_probs_dropout_prob": 0.1,
        "classifier_dropout": None,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "hidden_size": 64,
        "initializer_range": 0.02,
        "intermediate_size": 128,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": 64,
        "model_type": "bert",
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "pad_token_id": 0,
        "position_embedding_type": "absolute",
        "type_vocab_size": 2,
        "use_cache": True,
        "vocab_size": 120,
        **more,
    }


# name → (config, dtype, quantisation or None, pooling)
ENCODERS = {
    "bert-f32-cls": (bert(hidden_size=48, num_attention_heads=6, intermediate_size=80, vocab_size=80), mx.float32, None, "cls"),
    "bert-bf16-mean": (bert(hidden_size=48, num_attention_heads=3, num_hidden_layers=3, intermediate_size=96), mx.bfloat16, None, "mean"),
    "bert-q4-g32-mean": (bert(num_attention_heads=2), mx.float16, dict(group_size=32, bits=4), "mean"),
    "bert-reranker": (
        bert(architectures=["BertForSequenceClassification"], id2label={"0": "LABEL_0"}, hidden_size=48, num_attention_heads=6),
        mx.bfloat16,
        None,
        None,
    ),
}
# name → golden
LAST_TOKEN = {"qwen3-q8-last": "qwen3-q8-g32", "qwen3-bf16-last": "qwen3-bf16"}
# name → (golden, id of "no", id of "yes")
YES_OR_NO = {"qwen3-reranker": ("qwen3-bf16", 17, 95)}
SOURCE = f"mlx {version('mlx')}, mlx-lm {version('mlx-lm')}, mlx-embeddings {version('mlx-embeddings')}, CPU, float32 activations"


class Reranker(nn.Module):
    """A bert with a head of one label, named as the original checkpoints name it."""

    def __init__(self, encoder, hidden):
        super().__init__()
        self.bert = encoder
        self.classifier = nn.Linear(hidden, 1)

    def __call__(self, tokens, kinds):
        return self.classifier(self.bert(tokens, token_type_ids=kinds).pooler_output)[0, 0]


def randomise(model):
    filled = []
    for name, value in tree_flatten(model.parameters()):
        noise = mx.random.normal(value.shape)
        if name.endswith("LayerNorm.weight"):
            value = 1 + 0.2 * noise
        elif name.endswith("bias"):
            value = 0.15 * noise
        elif "embeddings." in name:
            value = 0.7 * noise
        else:
            gain = 2 if ".query." in name or ".key." in name else 1.2
            value = noise * (gain / math.sqrt(value.shape[-1]))
        filled.append((name, value))
    model.update(tree_unflatten(filled))


def sentence_files(folder, hidden, pooling):
    """What sentence-transformers lays beside a model."""
    (folder / "1_Pooling").mkdir()
    modes = {f"pooling_mode_{mode}": mode == pooling for mode in ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "lasttoken")}
    modes[{"cls": "pooling_mode_cls_token", "mean": "pooling_mode_mean_tokens"}[pooling]] = True
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": hidden} | modes, indent=2) + "\n")
    steps = [("0", "", "Transformer"), ("1", "1_Pooling", "Pooling"), ("2", "2_Normalize", "Normalize")]
    modules = [{"idx": int(i), "name": i, "path": path, "type": f"sentence_transformers.models.{kind}"} for i, path, kind in steps]
    (folder / "modules.json").write_text(json.dumps(modules, indent=2) + "\n")


def random_tokens(vocabulary, length):
    return mx.random.randint(1, vocabulary, (length,)).tolist()


def unit(vector):
    return vector / mx.linalg.norm(vector)


def write_floats(file, array):
    assert array.dtype == mx.float32
    file.write_bytes(bytes(memoryview(mx.contiguous(array))))


def write_vectors(folder, expected, inputs, states, pool):
    """states: hidden states [tokens, hidden] of each input."""
    write_floats(folder / "expected-vectors.bin", mx.stack([unit(pool(rows)) for rows in states]))
    write_floats(folder / "expected-hidden.bin", states[-1])
    (folder / "expected.json").write_text(json.dumps({"source": SOURCE, **expected, "inputs": inputs}) + "\n")


def encoder(name):
    config, dtype, quantisation, pooling = ENCODERS[name]
    folder = HERE / "embeddings" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    kinds = bert_module()
    model = kinds.Model(kinds.ModelArgs.from_dict(config))
    if pooling is None:
        model = Reranker(model, config["hidden_size"])
    randomise(model)
    model.eval()
    model.set_dtype(dtype)
    config = config | {"torch_dtype": str(dtype).rsplit(".", 1)[-1]}
    if quantisation:
        model, config = quantize_model(model, config, **quantisation)
    save_model(folder, model)
    save_config(config, config_path=folder / "config.json")
    # The numbers of the checkpoint, with float32 arithmetic around them.
    model.set_dtype(mx.float32)
    if pooling is None:
        pairs, scores = [], []
        for length in LENGTHS:
            # As the tokenizer of a pair: its second part has type 1.
            first = max(1, length // 3)
            pairs.append({"tokens": random_tokens(config["vocab_size"], length), "types": [0] * first + [1] * (length - first)})
            scores.append(model(mx.array([pairs[-1]["tokens"]]), mx.array([pairs[-1]["types"]])).item())
        (folder / "expected.json").write_text(json.dumps({"source": SOURCE, "inputs": pairs, "logits": scores}) + "\n")
        print(name, scores)
        return
    sentence_files(folder, config["hidden_size"], pooling)
    inputs = [random_tokens(config["vocab_size"], length) for length in LENGTHS]
    states = [model(mx.array([tokens])).last_hidden_state[0] for tokens in inputs]
    # The package pools by mean itself.
    if pooling == "mean":
        for tokens, rows in zip(inputs, states):
            assert mx.allclose(model(mx.array([tokens])).text_embeds[0], unit(mx.mean(rows, axis=0)), atol=1e-6)
    write_vectors(folder, {"pooling": pooling}, inputs, states, lambda rows: rows[0] if pooling == "cls" else mx.mean(rows, axis=0))
    report(name, states, pooling)


def report(name, states, pooling):
    vectors = mx.stack([unit(rows[0] if pooling == "cls" else rows[-1] if pooling == "last" else mx.mean(rows, axis=0)) for rows in states])
    likeness = vectors @ vectors.T
    print(f"{name}: likeness of different inputs {mx.min(likeness).item():.2f} to {mx.max(likeness - 2 * mx.eye(len(states))).item():.2f}")


def last_token(name):
    folder = HERE / "embeddings" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    model, config = load_model(HERE / "goldens" / LAST_TOKEN[name])
    model.set_dtype(mx.float32)
    inputs = [random_tokens(config["vocab_size"], length) for length in LENGTHS]
    states = [model.model(mx.array([tokens]))[0] for tokens in inputs]
    write_vectors(folder, {"base": LAST_TOKEN[name], "pooling": "last"}, inputs, states, lambda rows: rows[-1])
    report(name, states, "last")


def yes_or_no(name):
    golden, no, yes = YES_OR_NO[name]
    folder = HERE / "embeddings" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    model, config = load_model(HERE / "goldens" / golden)
    model.set_dtype(mx.float32)
    inputs = [random_tokens(config["vocab_size"], length) for length in LENGTHS]
    rows = [model(mx.array([tokens]))[0, -1] for tokens in inputs]
    scores = [mx.softmax(mx.array([row[no], row[yes]]))[1].item() for row in rows]
    pairs = [[row[no].item(), row[yes].item()] for row in rows]
    expected = {"source": SOURCE, "base": golden, "no": no, "yes": yes, "inputs": inputs, "logits": pairs, "scores": scores}
    (folder / "expected.json").write_text(json.dumps(expected) + "\n")
    print(name, scores)


for chosen in sys.argv[1:] or [*ENCODERS, *LAST_TOKEN, *YES_OR_NO]:
    mx.random.seed(zlib.crc32(chosen.encode()))
    (encoder if chosen in ENCODERS else last_token if chosen in LAST_TOKEN else yes_or_no)(chosen)
