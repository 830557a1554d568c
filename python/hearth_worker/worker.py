"""Messages in, steps, messages out."""

import base64
import math
import os
import sys
import time
import traceback

import mlx.core as mx
import numpy

from .adapters import Adapters, Refusal
from .batches import Batches
from .model import Model, resident_bytes
from .sampling import Answer

CACHE_BYTES = 256 * 1024 * 1024


class Worker:
    def __init__(self, channel, directory, adapters_directory, build, device):
        self.channel = channel
        self.directory = directory
        self.adapters_directory = adapters_directory
        self.build = build
        self.device = device
        self.model = None
        self.measured = None
        self.unloading = []
        channel.direct = self.direct
        channel.start()

    def run(self):
        messages = self.channel.messages
        try:
            while True:
                idle = self.model is None or not self.batches.active
                if idle or not messages.empty():
                    self.handle(messages.get())
                    continue
                self.batches.step()
                self.finish_unloads()
        except Exception as error:
            # The stack for the log, then the reason as the last line, which the parent tells its client.
            traceback.print_exc()
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            os._exit(1)

    def direct(self, message):
        """Called by the reader thread: what is answered also while a step runs."""
        kind = message["kind"]
        if kind == "health":
            self.channel.reply(message["id"], None)
        elif kind == "stats" and self.model is not None:
            self.channel.reply(message["id"], self.stats())
        else:
            return False
        return True

    def handle(self, message):
        kind = message["kind"]
        if kind == "load":
            return self.load(message["options"])
        to = {"sequence": message["sequence"]} if "sequence" in message else {"id": message["id"]}
        if self.model is None:
            return self.refuse(to, "model_load_failed", "The model is not loaded.")
        if kind == "cancel":
            self.batches.cancel(message["sequence"])
            self.finish_unloads()
        elif kind == "drop":
            self.batches.drop(message["sequence"], message["choice"])
            self.finish_unloads()
        elif kind == "credit":
            self.batches.credit(message["sequence"], message["tokens"])
        elif kind == "generate":
            self.generate(message)
        else:
            self.question(kind, message)

    def load(self, options):
        try:
            mx.set_cache_limit(CACHE_BYTES)
            self.model_of = Model(self.directory, lambda done, total: self.channel.send({"kind": "load-progress", "doneBytes": done, "totalBytes": total}))
        except Exception as error:
            traceback.print_exc()
            reason = str(error).strip() or type(error).__name__
            self.channel.send({"kind": "error", "code": "model_load_failed", "message": f"mlx could not load the model: {reason[:2000]}"})
            return
        model = self.model_of
        context = min(options["contextTokens"], model.context_tokens)
        self.adapters = Adapters(model.network, self.adapters_directory, options["residentAdapters"])
        self.batches = Batches(model, self.adapters, context, options["parallelSequences"], self.channel.send)
        self.measured = {
            "weightsBytes": model.weights_bytes,
            "kvBytes": 0,
            "computeBytes": 0,
            "processBytes": max(0, resident_bytes() - (model.weights_bytes if self.device == "cpu" else 0)),
        }
        self.model = model
        report = {
            "version": self.build,
            "device": self.device,
            "contextTokens": context,
            "modelContextTokens": model.context_tokens,
            "parallelSequences": options["parallelSequences"],
            "ranks": 1,
            "measured": self.measured,
            "loadMs": model.load_ms,
        }
        self.channel.send({"kind": "ready", "report": report, "vocabularySize": model.vocabulary})

    def generate(self, request):
        # Tokens that may be made before its reader has to be heard of.
        request.setdefault("credit", math.inf)
        try:
            wish = request.get("adapter")
            request["group"] = (None, 1.0) if wish is None or wish["scale"] == 0 else self.adapters.use(wish)
            if wish is not None:
                self.adapters.use(wish)
        except Refusal as error:
            return self.refuse({"sequence": request["sequence"]}, error.code, str(error))
        self.batches.add([Answer(request, choice, self.ask) for choice in range(request["choices"])])

    def ask(self, answer, last, vocabulary):
        """Tells the token that came last, and gets the mask of those that may come next; None: all."""
        sequence, choice = answer.request["sequence"], answer.choice
        token = {} if last is None else {"token": {"id": last, **(answer.score() if answer.scores else {})}}
        self.channel.send({"kind": "ask", "sequence": sequence, "choice": choice, "count": answer.drawn, **token})
        while True:
            mask = self.channel.masks.get()
            if (mask["sequence"], mask["choice"]) == (sequence, choice):
                break
        if mask.get("forced") is not None:
            return mx.arange(vocabulary) == mask["forced"]
        if mask.get("words") is None:
            return None
        bits = numpy.unpackbits(numpy.frombuffer(base64.b64decode(mask["words"]), dtype=numpy.uint8), bitorder="little")
        return mx.array(numpy.pad(bits[:vocabulary], (0, max(0, vocabulary - len(bits))))).astype(mx.bool_)

    def question(self, kind, message):
        id = message["id"]
        try:
            if kind == "score":
                self.channel.reply(id, {"logProbabilities": self.model.score(message["tokens"])})
            elif kind == "adapter-load":
                self.channel.reply(id, self.adapters.load(message["name"], message["directory"]))
            elif kind == "adapter-list":
                self.channel.reply(id, self.adapters.reports())
            elif kind == "adapter-unload":
                self.unloading.append((id, self.adapters.hide(message["name"])))
                self.finish_unloads()
            elif kind == "stats":
                self.channel.reply(id, self.stats())
            elif kind == "clear":
                self.batches.clear()
                self.channel.reply(id, None)
            else:
                self.channel.reply(id, None)
        except Refusal as error:
            self.refuse({"id": id}, error.code, str(error))
        except Exception as error:
            traceback.print_exc()
            self.refuse({"id": id}, "execution_error", f"{type(error).__name__}: {error}")

    def finish_unloads(self):
        """An adapter goes when the last answer that uses it has ended."""
        for id, serial in list(self.unloading):
            if not self.batches.uses(serial):
                self.unloading.remove((id, serial))
                self.adapters.free(serial)
                self.channel.reply(id, None)

    def refuse(self, to, code, message):
        self.channel.send({"kind": "error", **to, "code": code, "message": message})

    def stats(self):
        batches = self.batches
        kv = max(0, mx.get_active_memory() - self.model.weights_bytes)
        return {
            "memory": {**self.measured, "kvBytes": kv},
            "running": len(batches.running),
            "waiting": len(batches.waiting),
            **batches.counters,
            "batchSizes": list(batches.sizes),
            "draftedTokens": 0,
            "acceptedTokens": 0,
            "adapterBytes": self.adapters.nbytes,
        }
