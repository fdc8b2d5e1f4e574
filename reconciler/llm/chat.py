"""Chat completions: bots of type `chatCompletion`. Before it comes `llm/openai.py`, after it `llm/asking.py`.

Source: https://platform.openai.com/docs/api-reference/chat/create (as the SDK's types have it).
"""

from __future__ import annotations

from typing import Any

from reconciler.llm.answer import Answer, ModelFailed, Usage
from reconciler.llm.asking import ROUNDS, Asking, function, said
from reconciler.llm.learned import BOUND
from reconciler.talk.prompt import Utterance


async def ask_chat(asking: Asking) -> Answer:
    """The answer to a turn, over at most eight rounds of function calls. Raises ModelFailed."""
    from openai.types.chat import ChatCompletion

    request = asking.request
    messages: list[Any] = [_message(each) for each in request.messages]
    options: dict[str, Any] = {
        BOUND: request.max_tokens,
        "temperature": request.temperature,
        "reasoning_effort": request.reasoning_effort,
        "tools": [
            {"type": "function", "function": function(tool)} for tool in request.tools if tool["type"] == "function"
        ]
        or None,
    }
    options = {name: value for name, value in options.items() if value is not None}
    for round_ in range(ROUNDS + 1):
        if "tools" in options and round_ == ROUNDS:
            options["tool_choice"] = "none"
        create = asking.client.chat.completions.create
        reply = await asking.send(create, ChatCompletion, options, model=asking.model, messages=messages)
        if reply.usage:
            details = reply.usage.prompt_tokens_details
            taken = (reply.usage.prompt_tokens, reply.usage.completion_tokens, details and details.cached_tokens)
            asking.spent(Usage(*(count or 0 for count in taken)))
        choice = reply.choices[0]
        answer = choice.message
        if not (wanted := answer.tool_calls or []):
            text, cut = said(answer.content, answer.refusal, choice.finish_reason)
            return Answer(text, asking.usage, asking.calls, cut)
        await asking.keep(reply)
        calls = [(call.id, call.function.name, call.function.arguments) for call in wanted]
        messages.append(
            {
                "role": "assistant",
                "content": answer.content,
                "tool_calls": [
                    {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}
                    for id, name, arguments in calls
                ],
            }
        )
        for id, name, arguments in calls:
            output = await asking.call(name, arguments)
            messages.append({"role": "tool", "tool_call_id": id, "content": output})
    raise ModelFailed(f"the model still called functions after {ROUNDS} rounds")


def _message(each: Utterance) -> dict[str, Any]:
    if not each.images:
        return {"role": each.role, "content": each.text}
    text = [{"type": "text", "text": each.text}] if each.text else []
    return {
        "role": each.role,
        "content": [*text, *({"type": "image_url", "image_url": {"url": url}} for url in each.images)],
    }
