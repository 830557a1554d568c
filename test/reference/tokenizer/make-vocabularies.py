"""Writes gguf-vocabulary.json into four folders: the arrays that a GGUF file holds for the recorded tokenizers.

Needs: pip install tokenizers==0.23.3 sentencepiece==0.2.3 protobuf. Token texts and kinds come from the reference library (and, for the
byte-fallback kind, from the SentencePiece model), by the rules of llama.cpp's converter: added tokens are control (3) if special, else
user defined (4); ids without a token are unused (5); byte tokens 6, the unknown token 2, all others 1.
"""

import json
from pathlib import Path

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Tokenizer

HERE = Path(__file__).parent
BYTE_LEVEL = {"byte-level-smollm": "smollm", "byte-level-llama3": "llama-bpe", "byte-level-qwen2": "qwen2"}
SPARE = 4


def byte_level(name, pre):
    tokenizer = Tokenizer.from_file(str(HERE / name / "tokenizer.json"))
    added = tokenizer.get_added_tokens_decoder()
    rows = tokenizer.get_vocab_size(with_added_tokens=True) + SPARE
    tokens, types = [], []
    for index in range(rows):
        token = tokenizer.id_to_token(index)
        tokens.append(f"[PAD{index}]" if token is None else token)
        types.append(5 if token is None else 1 if index not in added else 3 if added[index].special else 4)
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return {"model": "gpt2", "pre": pre, "tokens": tokens, "token_type": types, "merges": [" ".join(merge) for merge in merges]}


def sentence_piece():
    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString((HERE / "sentencepiece-bpe.model").read_bytes())
    special = {"<s>", "</s>"}
    types = [3 if piece.piece in special else piece.type for piece in model.pieces]
    tokens = [piece.piece for piece in model.pieces]
    # Only the order of scores means anything: best piece first, ties by id.
    normal = [index for index, kind in enumerate(types) if kind == 1]
    order = sorted((index for index in normal if len(tokens[index]) > 1), key=lambda index: -model.pieces[index].score)
    rows = len(tokens)
    return {"model": "llama", "pre": "default", "tokens": tokens + [f"[PAD{rows + i}]" for i in range(SPARE)], "token_type": types + [5] * SPARE, "order": order}


def sentence_piece_ids():
    """Ids that the SentencePiece library itself gives; it never makes control tokens out of text."""
    processor = sentencepiece.SentencePieceProcessor(model_file=str(HERE / "sentencepiece-bpe.model"))
    probes = json.loads((HERE / "probe-texts.json").read_text())
    return {"ids": [processor.encode(text) for text in probes]}


def main():
    (HERE / "sentencepiece-bpe.json").write_text(json.dumps(sentence_piece_ids(), separators=(",", ":")) + "\n")
    for name, pre in BYTE_LEVEL.items():
        (HERE / name / "gguf-vocabulary.json").write_text(json.dumps(byte_level(name, pre), ensure_ascii=False, separators=(",", ":")) + "\n")
    (HERE / "byte-fallback-legacy" / "gguf-vocabulary.json").write_text(json.dumps(sentence_piece(), ensure_ascii=False, separators=(",", ":")) + "\n")


main()
