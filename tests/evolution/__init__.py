"""A small Evolution API 2.3 server for tests: its instances, credentials, settings and bots, with its own rules.

What it does is what a real 2.3.6 was recorded doing (`tests/runtime/conformance/exchanges.jsonl`); `test_conformance`
plays the recording against it and compares every status and body. Where the recording is silent it follows the
published source of that version; those facts are marked * here.

Order of checks: JSON, then the instance (before the key: unknown names can be probed), then the key, then the schema,
then the rules. Errors are `{status, error, response: {message}}`; `message` is a text (500, 401, bad JSON), a list of
texts (400, 403, 404) or a list in a list (schema). A 500 with a text of its own is the user's mistake.

Credentials: name and API key, nothing else is stored; both unique over all instances (the key 400, the name 400 in one
instance and 500 over two). There is no update. Deleting them deletes the bots that use them, in any instance, but is
refused (500) while any settings use them.

Settings: one row an instance, made with its first bot where it has none, from that bot's values. All ten fields are
required; empty texts are refused only if no eleventh field is sent. One row of credentials serves the settings of one
instance alone. `fallbackId` is taken only with an empty `openaiCredsId`, which keeps the present ones; null unsets
it*.

Bots: what is left out at creation is copied from the settings. An update keeps what it leaves out, and no schema field
can be null, so a trigger's operator is never cleared, and its value only by an empty text. In one instance no two bots
have one operator and value, one botType with the same assistantId, or with the same model and maxTokens; disabled bots
count, whatever their triggerType*. An enabled `all` bot refuses any other `all`, also a disabled one*. Lists come in no
order. Lengths are characters: description 255, functionUrl 500*, model 100*, keywordFinish 100*, unknownMessage 100.

Units: `expire` in minutes, `debounceTime` in seconds, `delayMessage` and `timePerChar` in milliseconds; 32 bits.

Not served: answering chats, and so sessions: `POST /webhook/evolution` is 404 and `fetchSessions` is always empty.
"""
