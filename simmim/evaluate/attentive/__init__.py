"""Attentive probe: a learnt query on the tokens of a frozen encoder."""
