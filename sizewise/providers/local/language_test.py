"""How well a local model answers in ten languages: the same short questions in each, whose answers are numbers.

A model that answers them in one language and not in another does not understand the other. It shows no style and no
knowledge of a country; a model that cannot count answers few in any language.
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

TIME_LIMIT_S = 120.0
"""Languages that a slow model has not reached by then are unknown."""
MAX_TOKENS = 24
ANSWERS = (7, 8, 60, 12, 71, 9)
QUESTIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "en": (
            "How many days are there in a week?",
            "How many legs does a spider have?",
            "How many minutes are there in an hour?",
            "How many months are there in a year?",
            "Which number is larger: 17 or 71?",
            "How much is 5 plus 4?",
            "Answer with a number only.",
        ),
        "de": (
            "Wie viele Tage hat eine Woche?",
            "Wie viele Beine hat eine Spinne?",
            "Wie viele Minuten hat eine Stunde?",
            "Wie viele Monate hat ein Jahr?",
            "Welche Zahl ist größer: 17 oder 71?",
            "Wie viel ist 5 plus 4?",
            "Antworte nur mit einer Zahl.",
        ),
        "ru": (
            "Сколько дней в неделе?",
            "Сколько ног у паука?",
            "Сколько минут в часе?",
            "Сколько месяцев в году?",
            "Какое число больше: 17 или 71?",
            "Сколько будет 5 плюс 4?",
            "Ответь только числом.",
        ),
        "el": (
            "Πόσες ημέρες έχει μια εβδομάδα;",
            "Πόσα πόδια έχει μια αράχνη;",
            "Πόσα λεπτά έχει μια ώρα;",
            "Πόσους μήνες έχει ένας χρόνος;",
            "Ποιος αριθμός είναι μεγαλύτερος: το 17 ή το 71;",
            "Πόσο κάνει 5 συν 4;",
            "Απάντησε μόνο με έναν αριθμό.",
        ),
        "ar": (
            "كم عدد أيام الأسبوع؟",
            "كم عدد أرجل العنكبوت؟",
            "كم دقيقة في الساعة؟",
            "كم شهرًا في السنة؟",
            "أي العددين أكبر: 17 أم 71؟",
            "كم يساوي 5 زائد 4؟",
            "أجب برقم فقط.",
        ),
        "he": (
            "כמה ימים יש בשבוע?",
            "כמה רגליים יש לעכביש?",
            "כמה דקות יש בשעה?",
            "כמה חודשים יש בשנה?",
            "איזה מספר גדול יותר: 17 או 71?",
            "כמה זה 5 ועוד 4?",
            "ענה במספר בלבד.",
        ),
        "hi": (
            "एक सप्ताह में कितने दिन होते हैं?",
            "मकड़ी के कितने पैर होते हैं?",
            "एक घंटे में कितने मिनट होते हैं?",
            "एक साल में कितने महीने होते हैं?",
            "कौन सी संख्या बड़ी है: 17 या 71?",
            "5 और 4 का जोड़ कितना है?",
            "केवल एक संख्या में उत्तर दो।",
        ),
        "th": (
            "หนึ่งสัปดาห์มีกี่วัน",
            "แมงมุมมีกี่ขา",
            "หนึ่งชั่วโมงมีกี่นาที",
            "หนึ่งปีมีกี่เดือน",
            "จำนวนใดมากกว่ากัน: 17 หรือ 71",
            "5 บวก 4 เท่ากับเท่าไร",
            "ตอบเป็นตัวเลขเท่านั้น",
        ),
        "zh": (
            "一个星期有多少天?",
            "蜘蛛有多少条腿?",
            "一小时有多少分钟?",
            "一年有多少个月?",
            "哪个数更大:17还是71?",
            "5加4等于多少?",
            "只用一个数字回答。",
        ),
        "ko": (
            "일주일은 며칠입니까?",
            "거미의 다리는 몇 개입니까?",
            "한 시간은 몇 분입니까?",
            "일 년은 몇 개월입니까?",
            "17과 71 중 어느 수가 더 큽니까?",
            "5 더하기 4는 얼마입니까?",
            "숫자로만 대답하세요.",
        ),
    },
)
"""By ISO 639 code: one question for each of ANSWERS, and how to answer. Written for this test."""
_NUMBER = re.compile(r"\d+")
Ask = Callable[[str, int], Awaitable[str]]
"""The answer to a question, with at most so many tokens."""
Progress = Callable[[int, int], None]
"""Called with the languages that are measured and all."""


async def measure_languages(
    ask: Ask, progress: Progress, clock: Callable[[], float] = time.monotonic
) -> Mapping[str, float]:
    """The share of right answers by language, 0..1, to three decimals."""
    found: dict[str, float] = {}
    begun = clock()
    for language, (*questions, instruction) in QUESTIONS.items():
        right = 0
        for question, answer in zip(questions, ANSWERS, strict=True):
            if clock() - begun > TIME_LIMIT_S:
                return found
            right += is_right(await ask(f"{question} {instruction}", MAX_TOKENS), answer)
        found[language] = round(right / len(ANSWERS), 3)
        progress(len(found), len(QUESTIONS))
    return found


def is_right(reply: str, answer: int) -> bool:
    """Whether the reply has the answer and no other number, in the digits of any script."""
    return {int(each) for each in _NUMBER.findall(reply)} == {answer}
