"""What bias reports find, miss and wrongly find; and what mitigation does to planted bias."""
