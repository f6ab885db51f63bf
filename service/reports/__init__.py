"""What an account's history says, as documents that people file: calls, responses, settlements, days and weeks.

Pure over documents: `facts` reads a history into steps, `prices` values holdings at ticks, a module each makes a
report, and `page` with `html` and `pdf` shows it; `cdm` and `iso20022` say parts of it in the words of others. No
secret and no position is in any of it. Institution, operator and verifier may enter, and so may whoever archives.
"""
