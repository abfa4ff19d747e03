"""Flows of ours as Lamatic's files, and back: the same flow, of all that both can say."""

from __future__ import annotations

import pytest

from sizewise.flows.language.yaml_source import parse_yaml
from sizewise.lamatic import exporter, file_formats, file_writer, importer
from sizewise.lamatic.canvas import TranslationNote
from tests.flows.in_process import checked
from tests.lamatic import sample_files
from tests.lamatic.test_importer import brought, mistakes

FLOWS = {
    "words": """
name: words
description: answers in words
inputs: {question: text, tone: {list: text}, n: integer}
nodes:
  answer:
    {kind: ask, description: Answer, model: auto, system: "Be {{ inputs.tone[0] }}.", temperature: 0.3,
     prompt: "{{ inputs.question }}"}
  named: {kind: ask, model: groq/big, prompt: "Shorter: {{ answer.text }}", max_tokens: 50}
outputs: {answer: "{{ named.text }}", all: {first: "{{ answer.text }}", n: "{{ inputs.n }}"}}
""",
    "judged": """
name: judged
inputs: {text: text}
nodes:
  judge:
    kind: json
    model: auto
    prompt: "{{ inputs.text }}"
    schema:
      type: object
      properties: {score: {type: number}, tags: {type: array, items: {type: string}}}
      required: [score]
  count:
    kind: javascript
    inputs: {tags: "{{ judge.tags }}", text: "{{ inputs.text }}"}
    code: |
      // {{ }} means nothing here
      output = { n: tags.length, long: text.length > 10 };
outputs: {n: "{{ count.n }}", score: "{{ judge.score }}", second: "{{ judge.tags | slice(1, 2) }}"}
""",
    "ways": """
name: ways
inputs: {topic: text, n: integer}
nodes:
  route:
    kind: branch
    cases:
      refund: '{{ "refund" in (inputs.topic | lower) }}'
      many: '{{ (inputs.n | number) > 10 }}'
      said: '{{ inputs.topic == "hello" }}'
  money: {kind: ask, after: [route.refund], model: auto, prompt: "{{ inputs.topic }}"}
  other: {kind: javascript, after: [route.else], code: "output = 'no';"}
  last:
    kind: javascript
    after: [route.refund, route.else]
    inputs: {a: "{{ money.text | default(null) }}", b: "{{ other | default(null) }}"}
    code: "output = a || b;"
outputs: {said: "{{ last }}", case: "{{ route.case }}"}
""",
    "loops": """
name: loops
inputs: {items: {list: text}}
nodes:
  one:
    kind: each
    items: "{{ inputs.items }}"
    name: item
    at_once: 1
    nodes:
      sum: {kind: ask, model: auto, prompt: "Sum up {{ item }}"}
      long: {kind: javascript, inputs: {text: "{{ sum.text }}"}, code: "output = text.length;"}
    outputs: {sum: {output: {generatedResponse: "{{ sum.text }}"}}, long: {output: "{{ long }}"}}
  many:
    kind: each
    items: "{{ inputs.items }}"
    name: item
    at_once: 4
    nodes:
      again: {kind: javascript, inputs: {item: "{{ item }}"}, code: "output = item;"}
    outputs: {again: {output: "{{ again }}"}}
outputs: {first: "{{ one.results[0].sum.output.generatedResponse }}", many: "{{ many.results }}"}
""",
    "sorted": """
name: sorted
inputs: {text: text}
nodes:
  look: {kind: classify, text: "{{ inputs.text }}", labels: {praise: somebody is happy, blame: somebody is not}}
  look_way: {kind: branch, value: "{{ look.label }}", cases: [praise, blame]}
  thanks: {kind: ask, after: [look_way.praise], model: auto, prompt: Say thanks.}
  sorry: {kind: ask, after: [look_way.blame], model: auto, prompt: Say sorry.}
outputs: {label: "{{ look.label }}"}
""",
    "outside": """
name: outside
inputs: {topic: text, who: text}
nodes:
  fixed: {kind: template, value: {language: English, top: 3, on: true, about: "{{ inputs.topic }}"}}
  find:
    {kind: search, knowledge: handbook, query: "{{ inputs.topic }}", limit: 7, mode: hybrid,
     where: {language: "{{ fixed.value.language }}"}}
  call:
    {kind: http, retry: {times: 3, wait_s: 2}, url: "https://api.example.com/x", method: POST, headers: {x-a: b},
     json: {q: "{{ inputs.topic }}"}}
  pause: {kind: wait, after: [call], seconds: 2}
  keep: {kind: memory, after: [pause], do: remember, whose: "{{ inputs.who }}", text: "{{ inputs.topic }}"}
  recall: {kind: memory, after: [keep], do: recall, whose: "{{ inputs.who }}", text: likes, limit: 4}
outputs: {first: "{{ find.passages[0].text }}", got: "{{ call.json.name }}", known: "{{ recall.memories }}"}
""",
    "timed": """
name: timed
triggers: [{kind: cron, schedule: "0 7 * * 1-5", zone: Europe/Berlin}]
nodes:
  news: {kind: ask, model: auto, prompt: The news.}
outputs: {news: "{{ news.text }}"}
""",
}


def there_and_back(
    text: str,
    format: file_writer.ExportFormat,
) -> tuple[dict[str, object], tuple[TranslationNote, ...]]:
    data = parse_yaml(text).data
    assert [each for each in checked(text).diagnostics if each.kind == "mistake"] == []
    drawing, told = exporter.export_flow(data)
    written = file_writer.write_files(drawing, format)
    path = next(path for path in written if path.startswith("flows/") or path.endswith(".yaml"))
    found, back = file_formats.parse_file(path, written[path], written.get)
    assert found == format
    return dict(importer.import_flow(back, name=data["name"]).data), told


@pytest.mark.parametrize("format", file_writer.EXPORT_FORMATS)
@pytest.mark.parametrize("name", FLOWS)
def test_what_both_can_say_comes_back_the_same(name: str, format: file_writer.ExportFormat) -> None:
    back, told = there_and_back(FLOWS[name], format)
    assert back == parse_yaml(FLOWS[name]).data
    assert {each.grade for each in told} == {"imported"}


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in sample_files.FLOWS
        if name
        in (
            "LLMNode",
            "codeNode",
            "conditionNode",
            "forLoopNode",
            "agentClassifierNode",
            "memoryNode",
            "waitNode",
            "searchNode",
            "apiNode",
            "variablesNode",
        )
    ],
)
def test_what_came_from_there_goes_back_and_comes_again_the_same(name: str) -> None:
    first = brought("agentkit", sample_files.FLOWS[name]())[0]
    back, _ = there_and_back(first.text, "agentkit")
    assert back == first.data


def test_what_has_no_words_there_is_named_and_throws() -> None:
    text = """
name: ours
inputs: {x: text, f: file}
nodes:
  py: {kind: python, inputs: {x: "{{ inputs.x }}"}, code: "output = x"}
  ask: {kind: ask, model: auto, policy: mine, prompt: "{{ py | text | upper }}"}
  yes: {kind: approve, question: "{{ ask.text }}"}
outputs: {x: "{{ yes.note }}"}
"""
    drawing, told = exporter.export_flow(parse_yaml(text).data)
    named = {each.node: each.message for each in told if each.grade == "named"}
    assert named == {
        "py": "Lamatic has no counterpart of python nodes",
        "ask": "Lamatic has no counterpart of the filter 'upper'",
        "yes": "Lamatic has no counterpart of approve nodes",
        "outputs": "Lamatic has no counterpart of yes.note",
    }
    assert all(each.hint for each in told if each.grade == "named")
    code = str(drawing.nodes["py"].values["code"])
    assert code == 'throw new Error("not exported: Lamatic has no counterpart of python nodes");'


def test_an_exported_flow_passes_the_check_when_it_is_back() -> None:
    for text in FLOWS.values():
        drawing, _ = exporter.export_flow(parse_yaml(text).data)
        _, again = file_formats.parse_file("x.yaml", file_writer.write_low_code_yaml(drawing))
        assert mistakes(importer.import_flow(again)) == []
