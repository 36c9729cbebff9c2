"""What bidding decides, without I/O and without a clock.

`box` has the stages of a box, its closing and its opening; `intake` judges what providers say, as `arrivals` has it, with the
`rejections` that there are; `award` judges what the group orders once replies are compared.
"""
