"""A chat server on this machine that answers like an OpenAI-compatible one, and fails when it is told to."""

import hashlib
import json
import math
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = "sk-a-secret-of-these-tests"


class FaultyServer:
    """Answers each question with a letter that depends on its text.

    ``faults`` are what goes wrong with the next requests, one each: a status code, "hang", "cut", "malformed",
    "no choices", "bare" (no log-probabilities), "silent" (no letter), "other model"; None is none. ``requests`` are the
    payloads it got, ``answered`` how many of them got a whole answer.
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
        letter = "ABCDEF"[order[0] % 6]
        said = "Well, I would say" if fault == "silent" else f"({letter}) Like me"
        said = "The road goes on." if limit > 50 else said
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": said}}
        if payload.get("logprobs") and self.logprobs and fault != "bare":
            tokens = [" ", "Well"] if fault == "silent" else [letter, f" {letter}", "ABCDEF"[order[1] % 6], "The"]
            top = [{"token": t, "logprob": math.log(0.5) - i} for i, t in enumerate(tokens)]
            bracket = {"token": "(", "logprob": -0.1, "top_logprobs": [{"token": "(", "logprob": -0.1}]}
            answer = {"token": "Well" if fault == "silent" else letter, "top_logprobs": top}
            choice["logprobs"] = {"content": [bracket, answer]}
        model = "another-2" if fault == "other model" else "served-1"
        return {"model": model, "choices": [choice], "usage": {"prompt_tokens": 100, "completion_tokens": 3}}

    def _handler(owner):
        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                self._send(200, json.dumps({"data": [{"id": "served-1", "owned_by": owner.owned_by}]}))

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
                owner.answered += fault in (None, "bare", "silent")

            def _send(self, status, body, claimed=None):
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(claimed or len(body.encode())))
                if status == 429 and owner.retry_after:
                    self.send_header("retry-after", owner.retry_after)
                self.end_headers()
                self.wfile.write(body.encode())
                self.wfile.flush()

        return Handler
