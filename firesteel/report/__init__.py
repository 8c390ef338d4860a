"""What a training leaves for people to look at: evidence in numbers, a verdict in words, and a page that shows both.

`evidence.py` asks a trained model questions, `verdict.py` says the answers in three sentences, `charts.py` draws them
and `page.py` puts a run folder on one page.
"""
