"""What people do with documents: summarise, extract, classify, ask; one or hundreds, with the evidence."""
