"""What speaks OpenAI's chat completions beside the official library: LangChain, LiteLLM as a client, and `llm`."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
os.environ["OPENAI_BASE_URL"] = BASE = os.environ["BASE_URL"] + "/v1"
KEY = os.environ["API_KEY"]
NOTE = "Patient: Zebulon Quackenbush, MRN 90210557, has asthma."
ANSWER = "About " + NOTE


def held(what):
    print("held:", what)


from langchain_core.tools import tool
import openai
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

chat = ChatOpenAI(model="clinical", base_url=BASE, api_key=KEY, max_retries=0)
assert chat.invoke([("system", "Be brief."), ("human", NOTE)]).content == ANSWER
assert "".join(piece.content for piece in chat.stream(NOTE)) == ANSWER


@tool
def find(who: str) -> str:
    """Finds a chart."""
    return who


(call,) = chat.bind_tools([find]).invoke(NOTE).tool_calls
assert (call["name"], call["args"]) == ("find", {"who": NOTE}), call
held("langchain-openai")

# By itself it sends numbers of its tokenizer (a list of lists), in which nothing can be searched.
asked = dict(model="clinical", base_url=BASE, api_key=KEY, max_retries=0)
vectors = OpenAIEmbeddings(check_embedding_ctx_length=False, **asked).embed_documents([NOTE, "Chest pain."])
assert [len(vector) for vector in vectors] == [3, 3], vectors
try:
    openai.OpenAI(base_url=BASE, api_key=KEY).embeddings.create(model="clinical", input=[[9906, 1917]])
    raise SystemExit("numbers of a tokenizer were taken")
except openai.BadRequestError as error:
    assert error.param == "input" and "check_embedding_ctx_length=False" in error.message, error.body
held("langchain-openai's embeddings")

import litellm

asked = dict(model="openai/clinical", api_base=BASE, api_key=KEY, messages=[{"role": "user", "content": NOTE}])
assert litellm.completion(**asked).choices[0].message.content == ANSWER
pieces = litellm.completion(stream=True, **asked)
assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == ANSWER
held("litellm")

home = tempfile.mkdtemp()
model = {"model_id": "clinical", "model_name": "clinical", "api_base": BASE, "api_key_name": "nephron"}
pathlib.Path(home, "extra-openai-models.yaml").write_text(json.dumps([model]))
pathlib.Path(home, "keys.json").write_text(json.dumps({"nephron": KEY}))
program = str(pathlib.Path(sys.executable).with_name("llm"))
for more in [], ["--no-stream"]:
    done = subprocess.run(
        [program, "--model", "clinical", "--no-log", *more, NOTE],
        env={**os.environ, "LLM_USER_PATH": home},
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == ANSWER, done
held("llm")
