"""Records how the reference cuts added tokens out of text: spaces taken along, single words, tokens found after normalising.

Needs: pip install tokenizers==0.23.3. Run after make-goldens.py: it adds tokens to byte-level-smollm and byte-fallback-legacy.
"""

import json
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, normalizers

HERE = Path(__file__).parent
TOKENS = [
    AddedToken("<|left|>", lstrip=True, special=True, normalized=False),
    AddedToken("<|right|>", rstrip=True, special=True, normalized=False),
    AddedToken("<|both|>", lstrip=True, rstrip=True, special=True, normalized=False),
    AddedToken("word", single_word=True, normalized=False),
    AddedToken("<|x|>", special=True, normalized=False),
    AddedToken("<|x|><|y|>", special=True, normalized=False),
    AddedToken("lower", normalized=True),
    AddedToken("ab cd", normalized=True),
]
TEXTS = [
    "a <|left|> b", "a <|right|> b", "a  <|both|> \n b", "<|left|><|right|>", " <|left|> <|left|> ", "<|right|>  <|left|>", "word", "a word b", "wordy sword a_word word1 word.", "éword word",
    "<|x|><|y|><|x|>", "<|x|> <|y|>", "LOWER Lower lower lowered", "ab cd", "AB CD ab  cd", "word<|x|>word", "lower<|left|>lower", "  lower  <|x|>  ab cd <|both|>x", "<|", "<|x|", "",
]


def main():
    for base, lowercase in [("byte-level-smollm", True), ("byte-fallback-legacy", False)]:
        tokenizer = Tokenizer.from_file(str(HERE / base / "tokenizer.json"))
        if lowercase:
            tokenizer.normalizer = normalizers.Lowercase()
        tokenizer.add_tokens(TOKENS)
        folder = HERE / f"added-tokens-{base}"
        folder.mkdir(exist_ok=True)
        (folder / "tokenizer.json").write_text(json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False, separators=(",", ":")) + "\n")
        rows = [{"text": text, "ids": tokenizer.encode(text, add_special_tokens=False).ids} for text in TEXTS]
        (folder / "golden.json").write_text(json.dumps(rows, ensure_ascii=False, separators=(",", ":")) + "\n")


main()
