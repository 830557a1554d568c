"""Makes the small tokenizers of this folder and the ids that the reference gives for probe-texts.json.

Needs: pip install tokenizers==0.23.3 sentencepiece==0.2.3 protobuf. Run from this folder: python make-goldens.py
Trained vocabularies differ from run to run; the files are kept because the ids belong to them.
"""

import json
import tempfile
from pathlib import Path

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

HERE = Path(__file__).parent
PROBES = json.loads((HERE / "probe-texts.json").read_text())
CORPUS = [
    "The quick brown fox jumps over the lazy dog. It isn't raining, and they've gone home; we'll see what I'm told.",
    "def add(a, b):\n    return a + b\n\nfor i in range(10):\n\tprint(add(i, 2 * i))\n",
    "Der Zug fährt um 17:45 Uhr über München nach Zürich. Größe, Fußgänger, Straße.",
    "Le café est déjà fermé; l'élève a reçu une lettre de son frère à Noël.",
    "Быстрая лиса прыгает через ленивую собаку. Это простой текст на русском языке.",
    "我喜欢学习新的语言。今天天气很好,我们去公园散步吧。",
    "東京は日本の首都です。カタカナとひらがなと漢字。",
    "안녕하세요, 만나서 반갑습니다. 오늘 날씨가 좋네요.",
    "مرحبا بالعالم. هذا نص بسيط باللغة العربية ١٢٣٤.",
    "नमस्ते दुनिया। यह हिन्दी में एक सरल वाक्य है।",
    "SELECT name, count(*) FROM users WHERE age >= 21 GROUP BY name; -- 100% of them",
    "{\"key\": [1, 2.5, -3e10, true, null], \"url\": \"https://example.org/a?b=c&d=e\"}",
    "Hello world! hello World HELLO wOrLd 2024-11-21 3.14159 1,234,567",
    "🙂 👍🏽 👨‍👩‍👧‍👦 🇩🇪 smile and wave",
] * 12
CHAT = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")


def control(*texts):
    return [AddedToken(text, special=True, normalized=False) for text in texts]


def byte_level(pre, special, normalizer=None, ignore_merges=False, size=900):
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    tokenizer.pre_tokenizer = pre
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=control(*special), initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def split(expression):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(expression), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def smollm():
    return byte_level(pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]), CHAT)


def llama3():
    return byte_level(split(LLAMA3), ["<|begin_of_text|>", "<|eot_id|>", "<|im_start|>", "<|im_end|>"], ignore_merges=True)


def qwen2():
    tokenizer = byte_level(split(QWEN2), CHAT, normalizer=normalizers.NFC())
    # Not special: plain text may hold it, as the reference lets it.
    tokenizer.add_tokens([AddedToken("<think>", normalized=False), AddedToken("</think>", normalized=False)])
    return tokenizer


def sentencepiece_bpe():
    """Pieces and scores of a SentencePiece model with byte fallback."""
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus.txt"
        corpus.write_text("\n".join(CORPUS))
        sentencepiece.SentencePieceTrainer.train(input=str(corpus), model_prefix=f"{folder}/m", vocab_size=900, model_type="bpe", byte_fallback=True,
                                                 character_coverage=0.98, normalization_rule_name="identity", remove_extra_whitespaces=False,
                                                 allow_whitespace_only_pieces=True, split_digits=True, minloglevel=2)
        model = sentencepiece_model_pb2.ModelProto()
        model.ParseFromString((Path(folder) / "m.model").read_bytes())
        (HERE / "sentencepiece-bpe.model").write_bytes((Path(folder) / "m.model").read_bytes())
    return model


def merges_of(pieces):
    ids = {piece.piece: index for index, piece in enumerate(pieces)}
    found = []
    for piece in pieces:
        if piece.type != 1:
            continue
        for cut in range(1, len(piece.piece)):
            left, right = piece.piece[:cut], piece.piece[cut:]
            if left in ids and right in ids:
                found.append((left, right, piece.score))
    return [(left, right) for left, right, _ in sorted(found, key=lambda merge: -merge[2])]


def byte_fallback(pieces, legacy):
    vocabulary = {piece.piece: index for index, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges_of(pieces), unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    if legacy:
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.add_special_tokens(control("<unk>", "<s>", "</s>"))
    return tokenizer


def unigram():
    """A Unigram model with a small character map, built as SentencePiece builds it."""
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus.txt"
        corpus.write_text("\n".join(CORPUS))
        rules = Path(folder) / "rules.tsv"
        pairs = [("ﬁ", "fi"), ("½", "1/2"), ("Ａ", "A"), ("１", "1"), ("\u00a0", " "), ("\t", " "), ("\n", " "), ("é", "e\u0301"), ("…", "...")]
        rules.write_text("".join("{}\t{}\n".format(" ".join(f"{ord(c):X}" for c in a), " ".join(f"{ord(c):X}" for c in b)) for a, b in pairs))
        sentencepiece.SentencePieceTrainer.train(input=str(corpus), model_prefix=f"{folder}/m", vocab_size=600, model_type="unigram",
                                                 character_coverage=0.98, normalization_rule_tsv=str(rules), hard_vocab_limit=False, minloglevel=2)
        model = sentencepiece_model_pb2.ModelProto()
        model.ParseFromString((Path(folder) / "m.model").read_bytes())
    tokenizer = Tokenizer(models.Unigram([(piece.piece, piece.score) for piece in model.pieces], 0, False))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Precompiled(model.normalizer_spec.precompiled_charsmap), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.add_special_tokens(control("<unk>", "<s>", "</s>"))
    return tokenizer


def word_piece():
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=700, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def main():
    pieces = sentencepiece_bpe().pieces
    made = {
        "byte-level-smollm": smollm(),
        "byte-level-llama3": llama3(),
        "byte-level-qwen2": qwen2(),
        "byte-fallback-legacy": byte_fallback(pieces, True),
        "byte-fallback-metaspace": byte_fallback(pieces, False),
        "unigram": unigram(),
        "word-piece": word_piece(),
    }
    for name, tokenizer in made.items():
        folder = HERE / name
        folder.mkdir(exist_ok=True)
        source = json.loads(tokenizer.to_str())
        (folder / "tokenizer.json").write_text(json.dumps(source, ensure_ascii=False, separators=(",", ":")) + "\n")
        ids = [tokenizer.encode(text, add_special_tokens=False).ids for text in PROBES]
        decoded = [tokenizer.decode(row, skip_special_tokens=False) for row in ids]
        (folder / "golden.json").write_text(json.dumps({"ids": ids, "decoded": decoded}, ensure_ascii=False, separators=(",", ":")) + "\n")


main()
