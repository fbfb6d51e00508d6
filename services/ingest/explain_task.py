"""Runs because a client asks why a task is where it is."""

from dataclasses import dataclass

import grpc

from services.ingest.admission import Admission
from services.ingest.task_status import STATES
from taskandgo.api import scheduler_pb2 as api
from taskandgo.explain_task import ExplainTask as ExplainKnownTask
from taskandgo.explanation.explain import not_accepted
from taskandgo.explanation.reasons import Explanation, ReasonCode
from taskandgo.rpc.refusal import RefusalError

CODES = {code: api.ReasonCode.Value(f"REASON_CODE_{code.name}") for code in ReasonCode}


@dataclass(frozen=True, slots=True)
class ExplainTask:
    """The use case of ExplainTask."""

    explain: ExplainKnownTask
    admission: Admission

    async def __call__(self, task_id: str) -> api.ExplainTaskResponse:
        """The explanation; NOT_FOUND if there is no such task, and why that may be."""
        explanation = await self.explain(task_id)
        if explanation is None and (held := self.admission.held_back(task_id)):
            explanation = not_accepted(task_id, held)
        if explanation is None:
            raise _unknown(task_id)
        return api.ExplainTaskResponse(explanation=explanation_message(explanation))


def explanation_message(explanation: Explanation) -> api.Explanation:
    """The explanation in the API's words."""
    return api.Explanation(
        task_id=explanation.task_id,
        state=STATES[explanation.state] if explanation.state else api.TASK_STATE_UNSPECIFIED,
        headline=explanation.headline,
        reasons=[api.Reason(code=CODES[one.code], text=one.text, todo=one.todo) for one in explanation.reasons],
        todo=explanation.todo,
        position=explanation.position,
        position_is_least=explanation.position_is_least,
    )


def _unknown(task_id: str) -> RefusalError:
    why = "it was never accepted, or it finished and was removed since (INGEST_KEEP_FINISHED_SECONDS)"
    return RefusalError(grpc.StatusCode.NOT_FOUND, f"there is no task {task_id!r}: {why}")
