"""What an encoder computes, block by block: attention, frequencies, how alike its blocks are; nothing is trained."""
