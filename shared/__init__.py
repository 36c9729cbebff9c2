"""What every service needs identically: the contract (`messages`) and the mechanics of delivery."""
