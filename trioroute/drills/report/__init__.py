"""A drill's report: the judgement as words, JSON and a page with a picture."""
