"""`check` finds all that is wrong with a flow at once, each at its line and column, with what would mend it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sizewise.flows.language.types import INTEGER, TEXT
from sizewise.flows.node import FlowSignature
from tests.flows.in_process import checked, flow
from tests.growth import check_linear

HEAD = "name: x\ninputs: {question: text, n: integer, many: {list: text}}\nnodes:\n"
TAIL = 'outputs: {answer: "{{ a.text }}"}\n'


def found(nodes: str, tail: str = TAIL) -> list[str]:
    indented = "".join(f"  {line}\n" for line in nodes.strip("\n").split("\n"))
    return [str(each) for each in checked(HEAD + indented + tail).diagnostics]


def others(name: str) -> FlowSignature | None:
    return FlowSignature({"q": TEXT, "n": INTEGER}, frozenset({"q"}), {"out": TEXT}, "out") if name == "other" else None


@pytest.mark.parametrize(
    ("nodes", "wanted"),
    [
        ("a: {kind: asc, prompt: hi}", "4:13: a: there is no node kind 'asc'. Did you mean 'ask'?"),
        ("a: {prompt: hi}", "4:3: a: the node has no kind. Set it, as in: kind: ask"),
        ("a: {kind: ask, promt: hi}", "4:18: a: 'ask' has no parameter 'promt'. Did you mean 'prompt'?"),
        ("a: {kind: ask}", "4:3: a: the prompt is missing. Set `prompt`, `messages` or `prompt_id`."),
        ("a: {kind: json, prompt: hi}", "4:3: a: `schema` is missing. Add it: schema: {...}"),
        ("a: {kind: ask, prompt: hi, max_tokens: many}", "`max_tokens`: expected int, got str. Use an integer."),
        ("a: {kind: ask, prompt: hi, data_class: secret}", "`data_class` is never 'secret'."),
        ('a: {kind: ask, prompt: "{{ inputs.n }}"}', "4:26: a: `prompt` expects a text, not an integer. Convert"),
        ('a: {kind: ask, prompt: "{{ inputs.qestion }}"}', "`inputs` has no 'qestion'. Did you mean 'question'?"),
        ('a: {kind: ask, prompt: "Hi {{ inputs.question.x }}"}', "4:33: a: `inputs.question` is a text and has no"),
        ('a: {kind: ask, prompt: "{{ b.text }}"}', "4:30: a: there is no variable 'b'. Available: inputs."),
        ('a: {kind: ask, prompt: "{{ inputs.question | uper }}"}', "4:48: a: there is no filter 'uper'. Did you mean"),
        ("a: {kind: ask, prompt: hi, after: b}", "a: there is no node 'b'"),
        ("a: {kind: ask, prompt: hi, retry: {times: 50}}", "50 is not an integer from 1 to 10"),
        ("a: {kind: ask, prompt: hi, timeout_s: soon}", "'soon' is not a valid number of seconds"),
        ("a: {kind: ask, prompt: hi, nodes: {b: {kind: ask}}}", "4:30: a: nodes of kind 'ask' cannot contain nodes."),
        ("inputs: {kind: ask, prompt: hi}", "'inputs' is reserved in expressions"),
        ("1a: {kind: ask, prompt: hi}", "'1a' is not a valid name for a node"),
        ("a: {kind: each, items: [1]}", "a: the node contains no nodes"),
        ("a: [1]", "a: the node is not a mapping"),
        ("a: {kind: http, path: /x}", "a: set exactly one of `host` and `url`"),
        ("a: {kind: memory, do: remember, whose: me}", "there is no text to remember"),
        ("a: {kind: classify, text: x, labels: [one]}", "there are fewer than two labels"),
        ('a: {kind: subflow, flow: "{{ inputs.question }}"}', "`flow` must not contain an expression"),
        ("a: {kind: subflow, flow: nobody}", "there is no flow 'nobody'"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_where_it_stands(nodes: str, wanted: str) -> None:
    assert [each for each in found(nodes) if wanted in each], found(nodes)


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file() -> None:
    said = found(
        """
a:
  kind: ask
  promt: hi
  model: 5
b:
  kind: ask
  system: |
    Be kind.
    Say {{ nobody.name }} and {{ a.txt }}.
  prompt: "{{ inputs.n }}"
""",
        'outputs: {answer: "{{ b.text }}", more: "{{ c }}"}',
    )
    places = [each.partition(": ")[0] for each in said]
    assert places == sorted(places, key=lambda each: [int(n) for n in each.split(":")])
    assert [each.partition(": ")[2].partition(".")[0] for each in said] == [
        "a: 'ask' has no parameter 'promt'",
        "a: `model`: expected str, got int",
        "b: there is no variable 'nobody'",
        "b: `a` has no 'txt'",
        "b: `prompt` expects a text, not an integer",
        "there is no variable 'c'",
    ]
    assert places[2:4] == ["12:14", "12:36"]  # within the block


def test_nodes_that_wait_for_each_other_are_told_as_a_circle() -> None:
    said = found(
        """
a: {kind: ask, prompt: "{{ c.text }}"}
b: {kind: ask, prompt: "{{ a.text }}"}
c: {kind: ask, prompt: "{{ b.text }}", after: d}
d: {kind: ask, prompt: hi, after: [d]}
""",
    )
    assert "4:3: a: these nodes depend on each other: a → b → c → a. Remove one" in said[0]
    assert "7:3: d: these nodes depend on each other: d → d" in said[1]
    assert len(said) == 2


def test_cases_of_a_branch_are_known() -> None:
    said = found(
        """
kind_of: {kind: classify, text: hi, labels: [refund, other]}
route: {kind: branch, value: "{{ kind_of.label }}", cases: [refnd]}
a: {kind: ask, prompt: hi, after: route.refund}
b: {kind: ask, prompt: "{{ a.text }}", after: kind_of.refund}
c: {kind: branch, cases: {yes: "{{ kind_of.label == 'refnd' }}"}}
d: {kind: ask, prompt: hi, after: [c.else, c.no]}
""",
        'outputs: {answer: "{{ a.text or b.text or d.text }}"}',
    )
    assert [each.partition(": ")[2] for each in said] == [
        "route: the value is never 'refnd'. It can be: refund, other.",
        "a: the branch 'route' has no case 'refund'. Did you mean 'refnd'?",
        "b: 'kind_of' has no cases; only branches have. Write it as: after: [kind_of]",
        "c: the value is never 'refnd'. Did you mean 'refund'?",
        "d: the branch 'c' has no case 'no'. Known: yes, else.",
    ]


def test_a_schema_says_what_a_node_gives() -> None:
    said = found(
        """
a:
  kind: json
  prompt: hi
  schema:
    type: object
    additionalProperties: false
    properties: {name: {type: string}, tags: {type: array, items: {type: string}}}
b: {kind: ask, prompt: "{{ a.nme }}"}
c: {kind: ask, prompt: "{{ a.tags }}"}
d: {kind: ask, prompt: "{{ a.tags[0] }}"}
""",
        'outputs: {answer: "{{ b.text }}{{ c.text }}{{ d.text }}"}',
    )
    assert [each.partition(": ")[2] for each in said] == [
        "b: `a` has no 'nme'. Did you mean 'name'?",
        "c: `prompt` expects a text, not a list of text. Convert it to text: {{ ... | text }}",
    ]


def test_what_lies_within_an_each_or_a_loop_is_checked_with_the_names_there() -> None:
    said = found(
        """
a:
  kind: each
  items: "{{ inputs.many }}"
  nodes:
    b: {kind: ask, prompt: "{{ item }} {{ index }} {{ itm }}"}
    inputs2: {kind: ask, prompt: "{{ item.x }}"}
  outputs: "{{ b.text }}{{ inputs2.txt }}"
l:
  kind: loop
  times: 3
  until: "{{ loop.good }} {{ loop.bad }}"
  start: {draft: x}
  nodes:
    b: {kind: ask, prompt: "{{ loop.draft }}"}
    l: {kind: ask, prompt: hi}
  outputs: {draft: "{{ b.text }}", good: "{{ b.text | length > 3 }}"}
c: {kind: ask, prompt: "{{ item }} {{ a.results[0] }} {{ l.rounds }}"}
""",
        'outputs: {answer: "{{ c.text }}"}',
    )
    assert [each.partition(": ")[2].partition(". ")[0] for each in said] == [
        "b: there is no variable 'itm'",
        "inputs2: `item` is a text and has no 'x'",
        "a: `inputs2` has no 'txt'",
        "l: `loop` has no 'bad'",
        "l: 'l' is already used outside this node",
        "l: the node's output is not used",
        "c: there is no variable 'item'",
    ]


def test_a_subflow_is_held_to_what_it_takes_and_gives() -> None:
    text = HEAD + '  a: {kind: subflow, flow: other, inputs: {n: "{{ inputs.question }}", z: 1}}\n'
    tail = 'outputs: {answer: "{{ a.out }}", wrong: "{{ a.ot }}"}\n'
    said = [each.message for each in checked(text + tail, others).diagnostics]
    assert said == [
        "the input 'n' expects an integer, not a text",
        "the flow 'other' has no input 'z'",
        "the input 'q' is missing",
        "`a` has no 'ot'",
    ]


def test_work_that_nobody_sees_is_a_warning_and_keeps_nothing_from_running() -> None:
    text = (
        HEAD + "  a: {kind: ask, prompt: hi}\n  lone: {kind: ask, prompt: hi}\n  call: {kind: tool, tool: x}\n" + TAIL
    )
    made = checked(text)
    assert made.flow is not None
    assert [(each.node, each.kind, each.message) for each in made.diagnostics] == [
        ("lone", "warning", "the node's output is not used"),
    ]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", "1:1: the file contains no flow"),
        ("- a", "the file contains no flow"),
        ("name: x", "1:1: the flow has no nodes"),
        ("nodes: {}", "the flow has no name"),
        ("name: x y\nnodes: {}", "1:7: 'x y' is not a valid flow name"),
        ("name: x\nnods: {}\nnodes: {}", "2:1: there is no key 'nods' here. Known: description, inputs"),
        ("name: x\nnods: {}", "2:1: there is no key 'nods' here. Did you mean 'nodes'?"),
        ("name: x\nnodes: {}\ninputs: {q: txt}", "3:13: 'txt' is not a type. Did you mean 'text'?"),
        ("name: x\nnodes: {}\ninputs: {q: {type: integer, default: no}}", "the default is a text, not an integer"),
        ("name: x\nnodes: {}\ntriggers: [{kind: crn}]", "there is no trigger kind 'crn'. Did you mean 'cron'?"),
        ("name: x\nnodes: {}\ntriggers: [{kind: cron, schedule: daily}]", "'daily' is not a valid schedule"),
        ("name: x\nnodes: {}\ntriggers: [{kind: webhook, inputs: {q: 1}}]", "the flow has no input 'q'"),
        ("name: x\nnodes:\n  a: {{ x }}", "3:7: this is not valid YAML|a key is not a string"),
    ],
)
def test_the_rest_of_a_file_is_checked_too(text: str, wanted: str) -> None:
    said = [str(each) for each in checked(text).diagnostics]
    assert [each for each in said if any(part in each for part in wanted.split("|"))], said


def test_checking_takes_time_that_grows_with_the_nodes() -> None:
    def check(count: int) -> None:
        nodes = "".join(
            f'  n{number}:\n    kind: ask\n    prompt: "{{{{ n{number - 1}.text }}}} {{{{ inputs.question }}}}"\n'
            for number in range(1, count)
        )
        text = (
            HEAD + "  n0: {kind: ask, prompt: hi}\n" + nodes + f'outputs: {{answer: "{{{{ n{count - 1}.text }}}}"}}\n'
        )
        assert len(flow(text).graph.nodes) == count

    check_linear(check, 40)


@pytest.mark.long
def test_a_long_chain_and_a_wide_flow_need_no_stack() -> None:
    chain = "".join(f'  n{n}: {{kind: template, text: "{{{{ n{n - 1}.text }}}}"}}\n' for n in range(1, 2000))
    flow(HEAD + "  n0: {kind: template, text: hi}\n" + chain + 'outputs: {answer: "{{ n1999.text }}"}\n')
    circle = HEAD + "  n0: {kind: template, text: '{{ n1999.text }}'}\n" + chain + "outputs: {}\n"
    assert "→ … →" in str(checked(circle).diagnostics[0])
    over = HEAD + "  n0: {kind: template, text: hi}\n" + chain + "  m: {kind: template}\noutputs: {}\n"
    assert "more than 2000 nodes" in " ".join(map(str, checked(over).diagnostics))


def test_the_flows_of_the_how_to_are_right() -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "flows.md").read_text()
    blocks = [block.partition("```")[0] for block in page.split("```yaml\n")[1:]]
    assert blocks
    assert [checked(block).diagnostics for block in blocks] == [() for _ in blocks]
