"""A chat server on this machine that answers like an OpenAI-compatible one, and fails when it is told to."""

import hashlib
import json
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = "sk-a-secret-of-these-tests"
LOGPROBS = (-0.7, -1.7, -2.7, -3.7)  # of a letter with and without blank, another or the same letter, and no letter


class FaultyServer:
    """Answers each question with a letter that depends on its text.

    ``faults``: what goes wrong with the next requests, one each; None is nothing. ``requests``: the payloads it got;
    ``answered``: how many of them got a whole answer.
    """

    def __init__(self, owned_by="vllm", top=20, logprobs=True):
        self.faults, self.requests, self.answered, self.keys = [], [], 0, set()
        self.owned_by, self.top, self.logprobs, self.retry_after = owned_by, top, logprobs, None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    def response(self, payload, fault=None):
        text = json.dumps(payload["messages"])
        order = hashlib.sha256(text.encode()).digest()
        limit = payload.get("max_tokens") or payload["max_completion_tokens"]
        letter, begun = "ABCDEF"[order[0] % 6], payload["messages"][-1]["role"] == "assistant"
        said = [letter, ")", " Like", " me"] if begun else ["(", letter, ")", " Like", " me"]
        said = {"silent": ["Well", ",", " no"], "words": ["A", " little", " like"], "refused": []}.get(fault, said)
        said = ["The", " road", " goes", " on."] if limit > 50 else said[:limit]
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "".join(said)}}
        if payload.get("logprobs") and self.logprobs and fault not in ("bare", "refused"):
            first = {"silent": "Well", "words": "A"}.get(fault, letter)
            near = ["Well", " "] if fault == "silent" else [first, f" {first}", "ABCDEF"[order[1] % 6], "The"]
            tops = {token: [(token, -0.1)] for token in said} | {first: list(zip(near, LOGPROBS))}
            tops["("] = [("(", -0.1), (letter, -3.0), ("F", -9999.0)]
            choice["logprobs"] = {
                "content": [
                    {"token": t, "logprob": -0.1, "top_logprobs": [{"token": o, "logprob": p} for o, p in tops[t]]}
                    for t in said
                ]
            }
        if fault == "no finish":
            del choice["finish_reason"]
        model = "another-2" if fault == "other model" else "served-1"
        usage = {} if fault == "no usage" else {"usage": {"prompt_tokens": 100, "completion_tokens": 3}}
        return {"model": model, "choices": [choice]} | usage

    def _handler(owner):
        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                owners = owner.owned_by if isinstance(owner.owned_by, dict) else {"served-1": owner.owned_by}
                self._send(200, json.dumps({"data": [{"id": i, "owned_by": o} for i, o in owners.items()]}))

            def do_POST(self):
                payload = json.loads(self.rfile.read(int(self.headers["content-length"])))
                owner.requests.append(payload)
                owner.keys.add(self.headers["authorization"])
                fault = owner.faults.pop(0) if owner.faults else None
                if payload.get("top_logprobs", 0) > owner.top:
                    return self._send(400, json.dumps({"error": {"message": "top_logprobs is too large"}}))
                if isinstance(fault, int):
                    return self._send(fault, json.dumps({"error": {"message": f"no, {KEY}", "code": "no"}}))
                body = json.dumps(owner.response(payload, fault))
                if fault == "hang":
                    time.sleep(1.5)
                elif fault == "malformed":
                    body = body[:-20]
                elif fault == "no choices":
                    body = "{}"
                elif fault == "cut":
                    return self._send(200, body[:40], claimed=len(body))
                self._send(200, body)
                owner.answered += fault in (None, "bare", "silent", "words", "refused", "no usage")

            def _send(self, status, body, claimed=None):
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(claimed or len(body.encode())))
                if status == 429 and owner.retry_after:
                    self.send_header("retry-after", owner.retry_after)
                self.end_headers()
                with suppress(BrokenPipeError, ConnectionResetError):  # who asked has gone
                    self.wfile.write(body.encode())
                    self.wfile.flush()

        return Handler
