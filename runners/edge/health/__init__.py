"""What board it is and how it is: clocks, temperatures, fan, signs that it holds itself back. Python 3.6."""
