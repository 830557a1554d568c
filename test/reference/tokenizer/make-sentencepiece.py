"""Trains sentencepiece-unigram.model on the probe texts and records the ids that the SentencePiece library gives for them.

Needs: pip install sentencepiece==0.2.3. The model belongs to its ids: make both or none.
"""

import json
import tempfile
from pathlib import Path

import sentencepiece

HERE = Path(__file__).parent
PROBES = json.loads((HERE / "probe-texts.json").read_text())
RULES = [("ﬁ", "fi"), ("½", "1/2"), ("Ａ", "A"), ("１", "1"), ("\u00a0", " "), ("\u3000", " "), ("\t", " "), ("\n", " "), ("é", "e\u0301"), ("…", "...")]


def main():
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus.txt"
        corpus.write_text("\n".join(text.replace("\n", " ").replace("\0", "") for text in PROBES * 8))
        rules = Path(folder) / "rules.tsv"
        rules.write_text("".join("{}\t{}\n".format(" ".join(f"{ord(c):X}" for c in a), " ".join(f"{ord(c):X}" for c in b)) for a, b in RULES))
        sentencepiece.SentencePieceTrainer.train(input=str(corpus), model_prefix=f"{folder}/m", vocab_size=700, model_type="unigram", byte_fallback=True,
                                                 character_coverage=0.98, normalization_rule_tsv=str(rules), hard_vocab_limit=False, minloglevel=2)
        (HERE / "sentencepiece-unigram.model").write_bytes((Path(folder) / "m.model").read_bytes())
    processor = sentencepiece.SentencePieceProcessor(model_file=str(HERE / "sentencepiece-unigram.model"))
    (HERE / "sentencepiece-unigram.json").write_text(json.dumps({"ids": [processor.encode(text) for text in PROBES]}, separators=(",", ":")) + "\n")


main()
