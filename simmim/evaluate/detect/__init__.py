"""Mask R-CNN on COCO (appendix B)."""
