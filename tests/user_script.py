"""What a user of the package may write; mypy reads it, nothing runs it."""

import protoexplain as px

model: px.LoadedModel = px.load("folder", device="cpu")
explanation = px.explain(model, "bird.jpg")
height: int = explanation.rows[0].heatmap.shape[0]
names: list[str] = px.list_presets("quick-*")
value: float | None = px.measure(model, "data", ["consistency"])["consistency"].score.value
