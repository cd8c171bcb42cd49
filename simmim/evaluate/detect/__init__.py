"""Mask R-CNN on COCO (appendix C)."""
